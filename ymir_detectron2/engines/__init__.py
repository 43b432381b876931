"""Training and detection behind one interface: `base` has it, `torch_engine` and `detectron2_engine` implement it."""
