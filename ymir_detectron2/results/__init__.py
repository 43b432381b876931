"""Pages for people: report.html, made from the files that a task has left in /out."""
