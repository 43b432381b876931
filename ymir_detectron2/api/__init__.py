"""Python calls for other programs: `ymir_detectron2.load_model` and what it returns. See docs/use.md."""
