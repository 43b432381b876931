"""Datasets as annotation tools write them (Pascal VOC, COCO JSON, YOLO), read into images with boxes in pixels."""
