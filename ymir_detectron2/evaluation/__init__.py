"""How good detections are: COCO metrics."""
