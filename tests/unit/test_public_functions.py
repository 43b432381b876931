"""`import ymir_detectron2`: costs nothing, and its functions for programs of others need detectron2."""

from __future__ import annotations

import subprocess
import sys

from tests.running import PROJECT_DIR


def printed_by(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    return result.stdout


def test_the_import_of_the_package_imports_nothing_of_it_and_nothing_heavy():
    modules = printed_by("import ymir_detectron2, sys; print(*sys.modules)").split()
    assert [name for name in modules if name.startswith("ymir_detectron2")] == ["ymir_detectron2"]
    assert not {"torch", "numpy", "yaml", "detectron2"} & set(modules)


def test_without_detectron2_python_says_so():
    code = (
        "import sys; sys.modules['detectron2'] = None\n"
        "import ymir_detectron2\n"
        "for function in (ymir_detectron2.register, ymir_detectron2.model_cfg):\n"
        "    try: function('somewhere')\n"
        "    except ImportError as error: print(error.name.split('.')[0])\n"
    )
    assert printed_by(code).split() == ["detectron2", "detectron2"]
