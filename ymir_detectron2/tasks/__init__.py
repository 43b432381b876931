"""The three tasks: they carry things between the platform's files and an engine."""
