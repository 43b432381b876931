"""YMIR's index and annotation files to COCO JSON, the index of mining candidates, and image files to arrays."""
