"""`python3 -m ymir_detectron2 COMMAND`, the same as the console script `ymir-detectron2`."""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
