"""From YMIR's index files to COCO JSON, and from picture files to arrays."""
