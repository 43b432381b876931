"""The table of mining algorithms: every entry names a class, and nothing else in the program names an algorithm."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS
from ymir_detectron2.mining.algorithms import Algorithm

PROJECT_DIR = Path(__file__).resolve().parents[2]
PACKAGE_DIR = PROJECT_DIR / "ymir_detectron2"


@pytest.mark.parametrize("name", MINING_ALGORITHMS)
def test_an_entry_names_an_algorithm(name: str):
    entry = MINING_ALGORITHMS[name]
    found = getattr(importlib.import_module(f"ymir_detectron2.{entry.module}"), entry.class_name)
    assert issubclass(found, Algorithm)


def test_names_order_and_needs():
    assert [(name, entry.needs_images) for name, entry in MINING_ALGORITHMS.items()] == [
        ("cald", True), ("cald_legacy", True), ("entropy", True), ("aldd", True), ("margin", True),
        ("submodular", True), ("random", False),
    ]  # fmt: skip
    assert [name for name, entry in MINING_ALGORITHMS.items() if entry.orders_together] == ["submodular"]


def test_the_table_is_read_without_torch_and_numpy():
    code = "import ymir_detectron2.config.mining_algorithms, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy"} & set(found.stdout.split())


def test_no_algorithm_is_a_special_case_by_its_name():
    """Whatever differs between algorithms is a column of the table or a property of the class."""
    for file in PACKAGE_DIR.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                compared = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
                assert not compared & set(MINING_ALGORITHMS), f"{file}:{node.lineno}"
