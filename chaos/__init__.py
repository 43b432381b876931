"""Faults at chosen moments of whole tasks, and what must hold afterwards. A tool: `make chaos MINUTES=60`."""
