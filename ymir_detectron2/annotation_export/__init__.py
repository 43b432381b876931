"""Predictions as annotations that labelling tools open: COCO JSON, Pascal VOC, YOLO, Label Studio."""
