"""How good detections are: COCO metrics, counts of right and wrong boxes, and pictures of both."""
