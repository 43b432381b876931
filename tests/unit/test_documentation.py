"""What the documentation names exists: linked files and headings, paths of this project, modules in commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*PROJECT_DIR.glob("*.md"), *PROJECT_DIR.glob("docs/*.md"), *PROJECT_DIR.glob("docker/*.md")])

pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(PROJECT_DIR)) for page in PAGES])


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_to_files_and_headings(page: Path):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors_of(file), f"{target}#{anchor}"


@pages
def test_paths_of_the_project_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])(?:tests|docs|configs|benchmarks|ymir_detectron2)/[\w/.-]*\w", text):
        assert (PROJECT_DIR / path).exists(), path


@pages
def test_modules_of_commands_exist(page: Path):
    for module in re.findall(r"-m ((?:ymir_detectron2|benchmarks)\.[\w.]+)", page.read_text(encoding="utf-8")):
        assert (PROJECT_DIR / module.replace(".", "/")).with_suffix(".py").is_file(), module
