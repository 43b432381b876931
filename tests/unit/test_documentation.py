"""What the documentation names exists: linked files and headings, paths of this project, commands and options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ymir_detectron2.cli.main import COMMANDS, parser_for

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


COMMAND_LINE = re.compile(
    r"(?:^ *|`)(?:[\w./]*python3? -m ymir_detectron2|ymir-detectron2) ([a-z][^`\n]*)", re.MULTILINE
)
"""At the beginning of a line or of an inline code; not the Docker image of the same name."""


def command_lines(page: Path) -> list[list[str]]:
    """The arguments of all command lines of `ymir-detectron2` on a page."""
    # a backslash at the end of a line goes on with the next one
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in COMMAND_LINE.findall(text)]


@pages
def test_documented_command_lines_are_understood(page: Path):
    for arguments in command_lines(page):
        assert arguments[0] in COMMANDS, arguments
        parser_for(arguments).parse_args(arguments)  # exits with a message where it does not understand


def test_command_lines_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "```\n.venv/bin/python -m ymir_detectron2 train DATA  # yes\nymir-detectron2 report \\\n  runs/a\n"
        "docker run ymir-detectron2 bash\n```\n`ymir-detectron2 mine a 'b c'`, ymir-detectron2 is\n"
    )
    assert command_lines(page) == [["train", "DATA"], ["report", "runs/a"], ["mine", "a", "b c"]]


def test_the_three_commands_are_in_both_readmes():
    for name in ("README.md", "README.zh-CN.md"):
        commands = [arguments[0] for arguments in command_lines(PROJECT_DIR / name)]
        assert commands[:3] == ["train", "predict", "mine"]
        assert {"convert", "export", "report", "weights"} <= set(commands)
