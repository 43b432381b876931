"""Inference over a stream of image files: prefetch, tile, predict, merge."""
