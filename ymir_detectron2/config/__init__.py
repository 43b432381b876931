"""What a user can set, and detectron2's configuration as data. Knows no torch."""
