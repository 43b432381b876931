"""Imports go one way: scripts, tasks, engines, contract, errors. Read from the source files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.error_lines import error_line

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
PACKAGE_DIR = PROJECT_DIR / "ymir_detectron2"
SCRIPTS = ("start.py", "ymir_train.py", "ymir_infer.py", "ymir_mining.py")
SOURCES = sorted(PACKAGE_DIR.rglob("*.py")) + [PROJECT_DIR / name for name in SCRIPTS]

HEAVY = {"torch", "torchvision", "detectron2", "numpy", "cv2", "PIL", "faster_coco_eval", "matplotlib", "scipy"}

MAY_IMPORT: dict[str, set[str]] = {
    # the ground floor: what every room may import
    "errors": set(),
    "error_table": set(),
    "supervision": set(),
    "box_geometry": set(),
    "stop_signal": set(),
    "stopping": {"stop_signal"},
    "progress": set(),
    "version": set(),
    "data_bounds": set(),
    "memory_limit": set(),
    "xml_file": set(),
    "untrusted_files": set(),
    "file_digest": {"untrusted_files"},
    "label_geometry": set(),
    "text_file": {"errors", "untrusted_files"},
    "tile_windows": set(),
    "array_text": set(),
    "detections": {"tile_windows"},
    "distributed": {"errors"},
    "atomic_file": {"errors"},
    "download": {"errors", "atomic_file", "untrusted_files"},
    "yaml_file": {"errors", "data_bounds", "untrusted_files"},
    "config": {"errors", "tile_windows", "untrusted_files", "version", "yaml_file"},
    "contract": {
        "errors", "atomic_file", "label_geometry", "memory_limit", "text_file", "untrusted_files", "xml_file",
        "yaml_file",
    },
    "failure": {"errors", "contract", "error_table", "supervision"},
    "entrypoint": {"errors", "config", "contract", "failure", "stop_signal"},
    "live_code": {"entrypoint", "errors", "version"},
    # torch, and no task
    "retinanet": {"errors", "atomic_file", "config", "data_bounds", "download", "file_digest", "untrusted_files"},
    "dataset": {
        "errors", "atomic_file", "box_geometry", "contract", "file_digest", "label_geometry", "memory_limit",
        "untrusted_files",
    },
    "sources": {
        "errors", "contract", "dataset", "file_digest", "label_geometry", "text_file", "untrusted_files", "yaml_file",
    },
    "inference": {"errors", "box_geometry", "contract", "dataset", "detections", "tile_windows"},
    "mining": {"errors", "box_geometry", "config", "detections", "array_text", "retinanet"},
    "evaluation": {
        "errors", "atomic_file", "box_geometry", "contract", "dataset", "detections", "array_text", "untrusted_files",
    },
    "results": {
        "errors", "atomic_file", "config", "contract", "dataset", "evaluation", "mining", "progress", "untrusted_files",
        "version", "yaml_file",
    },
    "export": {"errors", "atomic_file", "config", "dataset", "detections", "retinanet", "tile_windows"},
    "training": {
        "errors", "atomic_file", "box_geometry", "config", "contract", "dataset", "detections", "distributed",
        "evaluation", "file_digest", "inference", "progress", "retinanet", "tile_windows",
    },
    "engines": {
        "errors", "config", "contract", "dataset", "detections", "distributed", "retinanet", "tile_windows", "training",
        "untrusted_files", "version", "yaml_file",
    },
    # processes and tasks
    "launch": {"errors", "atomic_file", "config", "contract", "stop_signal", "stopping", "supervision", "version"},
    "distributed_launcher": {"errors", "contract", "entrypoint", "failure", "launch", "supervision"},
    "parent": {"errors", "atomic_file", "contract", "entrypoint", "launch", "stop_signal"},
    "tasks": {
        "errors", "atomic_file", "config", "contract", "dataset", "detections", "distributed", "engines", "entrypoint",
        "evaluation", "export", "failure", "file_digest", "inference", "mining", "progress", "results", "stop_signal",
        "tile_windows", "training", "version",
    },
    "tools": {
        "errors", "atomic_file", "config", "contract", "dataset", "error_table", "file_digest", "results", "retinanet",
        "sources", "untrusted_files", "version", "yaml_file",
    },
    # what a person types
    "annotation_export": {"errors", "atomic_file", "contract", "dataset", "results", "sources", "tools"},
    "cli": {
        "errors", "annotation_export", "atomic_file", "config", "contract", "dataset", "entrypoint", "evaluation",
        "export", "failure", "results", "sources", "supervision", "tasks", "tools", "untrusted_files", "version",
    },
    "__main__": {"cli"},
    "scripts": {"config", "entrypoint", "parent", "stop_signal", "supervision", "tasks"},
    # what is public for other programs, imported when it is called
    "api": {
        "errors", "config", "contract", "dataset", "detections", "engines", "evaluation", "failure", "inference",
        "retinanet", "tile_windows", "tools",
    },
    "__init__": {"api", "engines"},
}  # fmt: skip
"""Room -> rooms that it may import from. No two rooms may import each other, directly or through others."""


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, as an absolute name, and whether at module level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    at_top = {id(node) for node in tree.body}
    package = file.relative_to(PROJECT_DIR).with_suffix("").parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*(package[: -node.level] if node.level else ()), *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield name, id(node) in at_top


def room_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE_DIR).with_suffix("").parts if PACKAGE_DIR in file.parents else ("scripts",)
    return parts[0]


def project_rooms(file: Path) -> set[str]:
    names = {name.split(".")[1] for name, _ in imports(file) if name.startswith("ymir_detectron2.")}
    return names - {room_of(file), "__version__"}


def outside_packages(file: Path, *, top_only: bool = False) -> set[str]:
    return {name.split(".")[0] for name, at_top in imports(file) if at_top or not top_only}


def place(file: Path) -> str:
    return str(file.relative_to(PROJECT_DIR))


def test_every_module_belongs_to_a_room():
    assert {room_of(file) for file in SOURCES} == set(MAY_IMPORT)


def test_a_room_imports_only_from_the_rooms_below_it():
    wrong = {place(file): sorted(rooms) for file in SOURCES if (rooms := project_rooms(file) - allowed(file))}
    assert wrong == {}


def test_no_permission_is_unused():
    used: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for file in SOURCES:
        used.get(room_of(file), set()).update(project_rooms(file))
    assert used == MAY_IMPORT


def test_rooms_do_not_import_each_other_in_a_circle():
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        free = {room for room, below in MAY_IMPORT.items() if room not in done and below <= done}
        assert free, f"these may import each other: {sorted(set(MAY_IMPORT) - done)}"
        done |= free


def allowed(file: Path) -> set[str]:
    return MAY_IMPORT.get(room_of(file), set())


def test_the_contract_knows_no_torch_and_nothing_heavy():
    for file in (PACKAGE_DIR / "contract").rglob("*.py"):
        assert not outside_packages(file) & HEAVY, place(file)


def test_mining_imports_no_torch_but_for_tensor_operations_and_dense_outputs():
    for file in (PACKAGE_DIR / "mining").rglob("*.py"):
        if file.name not in ("aldd.py", "torch_image_ops.py"):
            assert not outside_packages(file) & {"torch", "torchvision", "detectron2"}, place(file)


def test_only_its_own_engine_knows_detectron2():
    for file in SOURCES:
        if "detectron2" in outside_packages(file):
            assert file.parent == PACKAGE_DIR / "engines" / "detectron2_engine", place(file)


def test_only_the_contract_knows_where_in_and_out_are():
    """Paths below /in and /out are read from env.yaml. Tools write env.yaml, as the platform does."""
    for file in SOURCES:
        if room_of(file) in ("contract", "tools"):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        documentation = {id(text) for text in _documentation(tree)}
        for node in ast.walk(tree):
            literal = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(literal, str) and id(node) not in documentation:
                assert literal not in ("/in", "/out"), place(file)
                assert not literal.startswith(("/in/", "/out/")), f"{place(file)}: {literal}"


def _documentation(tree: ast.AST) -> Iterator[ast.Constant]:
    """Docstrings of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_without_torch(script: str, tmp_path: Path):
    """Errors in the files are reported within a second; torch takes several to import. The parent needs no numpy."""
    forbidden = HEAVY if script == "start.py" else {"torch", "torchvision", "detectron2"}
    code = (
        "import atexit, runpy, sys; atexit.register(lambda: print('modules', *sys.modules));"
        f" sys.argv[1:] = ['--env', {str(tmp_path / 'env.yaml')!r}]; runpy.run_path({script!r}, run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    reason, modules = found.stdout.split("modules ")
    assert error_line(reason).startswith(f"ERROR 300001: {tmp_path}/env.yaml: cannot be read")
    assert {"yaml", "ymir_detectron2.failure"} < set(modules.split())
    assert not forbidden & {name.split(".")[0] for name in modules.split()}


def test_files_do_not_import_each_other_in_a_circle():
    graph = {}
    names = {".".join(file.relative_to(PROJECT_DIR).with_suffix("").parts): file for file in SOURCES}
    for name, file in names.items():
        graph[name] = {module for module, at_top in imports(file) if at_top and module in names}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"these import each other: {sorted(set(graph) - done)}"
        done |= free


def test_no_test_mocks_our_own_code():
    for file in sorted((PROJECT_DIR / "tests").rglob("*.py")):
        assert not [name for name, _ in imports(file) if name.startswith(("unittest.mock", "mock"))], place(file)


def test_code_that_runs_on_python_3_8():
    """`X | Y` in annotations is fine where they are not evaluated; `match` and the like do not parse."""
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 8))
        if " | None" in text:
            assert "from __future__ import annotations" in text, place(file)
