"""YMIR executor for RetinaNet with detectron2: training, mining and inference of object detectors."""

__version__ = "0.1.0"
