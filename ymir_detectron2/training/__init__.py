"""The torch engine's training: schedule, sampling, pictures, steps, processes. Opens no /in and writes no /out."""
