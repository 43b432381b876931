"""A stream of picture paths becomes a stream of detections."""
