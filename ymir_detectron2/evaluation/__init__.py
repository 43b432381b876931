"""Evaluation of detections: COCO metrics, counts of true and false positives, and plots of both."""
