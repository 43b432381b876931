"""Import all that the tasks import, wherever in a file: the last step of the build of the image.

    python3 -m ymir_detectron2.tools.check_imports

Many packages are imported only by the function that needs them. One that is missing, or does not fit the others, then
fails the build instead of every training after its first step.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

PROJECT_DIR = Path(__file__).parents[2]
_DETECTRON2 = ("detectron2", "ymir_detectron2.engines.detectron2_engine")
# detectron2 hides that its compiled part cannot be loaded, until a layer needs it
_COMPILED_PART = "detectron2._C"


class Import(NamedTuple):
    """One imported module, and the name that is taken from it; "" for the module itself."""

    module: str
    name: str


def main() -> int:
    """Try all imports; print those that fail, and return 1 if there are any."""
    has_detectron2 = importlib.util.find_spec("detectron2") is not None
    imports = sorted({wanted for module in project_modules() for wanted in imports_of(module)})
    # the modules first, as in a task: what they do before an import, such as renaming, is part of it
    imports = [*(Import(module, "") for module in sorted(project_modules())), *imports]
    if has_detectron2:
        imports.append(Import(_COMPILED_PART, ""))
    else:
        imports = [wanted for wanted in imports if not wanted.module.startswith(_DETECTRON2)]
    failures = [failure for wanted in imports for failure in failure_of(wanted)]
    for failure in failures:
        print(f"check_imports: {failure}", file=sys.stderr)
    print(f"{len(imports)} imports, {len(failures)} failed; {'with' if has_detectron2 else 'without'} detectron2")
    return 1 if failures else 0


def project_modules() -> Iterator[str]:
    """Yield the names of the scripts of the tasks and of all modules of the package."""
    for file in [*PROJECT_DIR.glob("*.py"), *(PROJECT_DIR / "ymir_detectron2").rglob("*.py")]:
        parts = file.relative_to(PROJECT_DIR).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(module: str) -> Iterator[Import]:
    """Yield what a module imports, also within functions.

    Private modules of torch are left out: they differ between releases, and what imports them asks for one first.
    """
    base = PROJECT_DIR.joinpath(*module.split("."))
    is_package = base.is_dir()
    source = (base / "__init__.py" if is_package else base.with_suffix(".py")).read_text(encoding="utf-8")
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        found: list[Import] = []
        if isinstance(node, ast.Import):
            found = [Import(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found = [Import(origin, alias.name) for alias in node.names]
        yield from (wanted for wanted in found if not wanted.module.startswith("torch._"))


def failure_of(wanted: Import) -> list[str]:
    """Return one sentence if the import fails, else nothing."""
    try:
        module = importlib.import_module(wanted.module)
        if wanted.name and not hasattr(module, wanted.name):
            importlib.import_module(f"{wanted.module}.{wanted.name}")
    except Exception as error:  # whatever a package raises while it is imported
        return [f"{wanted.module} {wanted.name}: {type(error).__name__}: {error}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
