"""RetinaNet in plain PyTorch, equal to detectron2's in names and numbers; knows nothing of YMIR.

Source: Lin et al., Focal Loss for Dense Object Detection, arXiv 1708.02002, as detectron2 implements it.
"""
