"""Which images are most worth labelling: pure functions from images and detections to one number per image."""
