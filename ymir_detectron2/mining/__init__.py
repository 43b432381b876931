"""Which pictures are most worth labelling: pure functions from pictures and detections to one number per picture."""
