"""The command line: from a person's own images to a trained detector and its results, one file per command."""
