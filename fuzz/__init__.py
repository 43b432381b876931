"""Random inputs for every reader of files that others write. A developer's tool: `make fuzz MINUTES=10`."""
