"""What the build of the image reads besides the code: the files of requirements/."""

from __future__ import annotations

import re

from ymir_detectron2.version import PROJECT_DIR

FILES = sorted((PROJECT_DIR / "requirements").glob("*.txt"))
DOCKERFILE = (PROJECT_DIR / "Dockerfile").read_text(encoding="utf-8")


def test_the_dockerfile_copies_what_the_files_include():
    assert "COPY requirements /requirements\n" in DOCKERFILE
    for file in FILES:
        for included in re.findall(r"^-r (.+)$", file.read_text(encoding="utf-8"), re.M):
            assert (file.parent / included).is_file(), file


def test_their_variables_are_build_arguments_with_a_value():
    """pip leaves a variable without a value as it is, and then looks for a package of that name."""
    used = {name for file in FILES for name in re.findall(r"\$\{(\w+)\}", file.read_text(encoding="utf-8"))}
    assert used == {"TORCH_WHEELS", "TORCH_BUILD", "DETECTRON2_WHEELS"}
    for name in used:
        assert re.search(rf"^ARG {name}=\S+$", DOCKERFILE, re.M), name
