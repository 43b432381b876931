"""Code from elsewhere: a repository that config.yaml names is refused, a checkout mounted at /code runs if it fits.

docker/start.sh runs as in the container, with other folders in place of /app and /code.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeTree, Tree
from tests.error_lines import error_line
from tests.platform_reader import RELEASES, offers_live_code, read_monitor
from ymir_detectron2 import __version__
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.live_code import check_checkout
from ymir_detectron2.tools import releases
from ymir_detectron2.version import PROJECT_DIR

START = PROJECT_DIR / "docker" / "start.sh"
LIVE_CODE = {"git_url": "https://user:secret@example.com/own.git", "git_branch": "main", "code_config": "own.yaml"}


# --- a repository in config.yaml ------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_no_release_asks_the_user_of_this_image_for_a_repository(release, tmp_path):
    for file in ("manifest.yaml", "training-template.yaml", "mining-template.yaml", "infer-template.yaml"):
        shutil.copyfile(PROJECT_DIR / file, tmp_path / file)  # as the Dockerfile does
    assert not offers_live_code(tmp_path, release)


@pytest.mark.parametrize("release", releases.RELEASES)
@pytest.mark.parametrize("task", ["train", "mining", "infer"])
def test_a_repository_is_refused_in_every_release_and_task(ymir_tree: MakeTree, release, task):
    tree = ymir_tree(task, release=release, config=LIVE_CODE)
    with pytest.raises(ConfigError) as refusal:
        load_task(tree.env_file)
    sentence = str(refusal.value)
    assert "git_url, git_branch, code_config: this image runs only the code that it was built with; remove" in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("key", LIVE_CODE)
def test_one_of_the_keys_is_enough(ymir_tree: MakeTree, key):
    with pytest.raises(ConfigError, match=f"config.yaml: {key}: this image .*; remove the key"):
        load_task(ymir_tree(config={key: LIVE_CODE[key]}).env_file)


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_empty_fields_ask_for_nothing(ymir_tree: MakeTree, empty):
    tree = ymir_tree()
    tree.edit("config.yaml", **dict.fromkeys(LIVE_CODE, empty))
    assert load_task(tree.env_file).run_training


# --- a checkout at /code --------------------------------------------------------------------------------------------


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    """A task that fails in start.py itself: it shows whose code has run, without a training."""
    tree = ymir_tree()
    tree.edit("env.yaml", run_training=False)
    return tree


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "app")


def copy_project(folder: Path, version: str = __version__) -> Path:
    shutil.copytree(
        PROJECT_DIR / "ymir_detectron2", folder / "ymir_detectron2", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copyfile(PROJECT_DIR / "start.py", folder / "start.py")
    module = folder / "ymir_detectron2" / "__init__.py"
    module.write_text(module.read_text().replace(f'"{__version__}"', f'"{version}"'))
    return folder


def sign(folder: Path) -> None:
    """Let the code of a folder say that it runs."""
    launch = folder / "ymir_detectron2" / "launch.py"
    revision = "os.environ.get('YMIR_DETECTRON2_REVISION')"
    launch.write_text(f"{launch.read_text()}\nprint('code of', __file__, 'in', os.getcwd(), {revision})\n")


def start(app: Path, code: Path, tree: Tree, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link would leave its environment
    (programs / "python").chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "YMIR_DETECTRON2_REVISION": "1a2b3c4"}
    command = ["bash", str(START), str(app), str(code), "--env", str(tree.env_file)]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=120)


def test_without_a_checkout_the_image_runs_its_own_code(app, tree, tmp_path):
    sign(app)
    run = start(app, tmp_path / "code", tree, tmp_path)
    assert f"code of {app}/ymir_detectron2/launch.py in / 1a2b3c4" in run.stdout
    assert error_line(run.stdout).startswith("ERROR 300001: env.yaml: none of run_training")


def test_a_checkout_that_fits_runs_in_its_own_folder(app, tree, tmp_path):
    code = copy_project(tmp_path / "code", f"{__version__}.dev1")
    sign(code)
    run = start(app, code, tree, tmp_path)
    assert f"running the checkout {code}, version {__version__}.dev1, in this image of version" in run.stdout
    # and the revision of the image is not given for that of the checkout
    assert f"code of {code}/ymir_detectron2/launch.py in {code} None" in run.stdout
    assert error_line(run.stdout).startswith("ERROR 300001: env.yaml: none of run_training")
    assert run.returncode == 1


@pytest.mark.parametrize("version", ["0.0.9", "0.2.0", "1.1.0", "10.1.0"])
def test_a_checkout_of_another_version_is_refused_and_not_run(app, tree, tmp_path, version):
    code = copy_project(tmp_path / "code", version)
    sign(code)
    run = start(app, code, tree, tmp_path)
    assert run.returncode == 1
    assert "code of" not in run.stdout
    assert error_line(run.stdout) == (
        f"ERROR 300001: {code}: is version {version}, and this image has what version {__version__} needs;"
        f" check out {__version__}, or build the image of {version}"
    )
    monitor = read_monitor((tree.out_dir / "monitor.txt").read_text(encoding="utf-8"))
    assert monitor.state_code == 300001


def test_an_empty_folder_is_a_typing_error_and_not_no_checkout(app, tree, tmp_path):
    """Docker makes one of a path that does not exist; the image's own code would run in silence."""
    (tmp_path / "code").mkdir()
    run = start(app, tmp_path / "code", tree, tmp_path)
    assert run.returncode == 1
    last_line = error_line(run.stdout)
    assert last_line.startswith(f"ERROR 300001: {tmp_path / 'code'}: holds no ymir_detectron2/__init__.py")


def test_a_package_without_version_or_start_is_no_checkout(tmp_path, app):
    (app / "start.py").unlink()
    with pytest.raises(ConfigError, match=r"holds no start\.py, or ymir_detectron2 without a version; mount a"):
        check_checkout(app)
    package = tmp_path / "other" / "ymir_detectron2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the code of a checkout is read, not run')\n")
    with pytest.raises(ConfigError, match="without a version"):
        check_checkout(tmp_path / "other")


def test_a_version_over_two_lines_is_none(tmp_path):
    (tmp_path / "ymir_detectron2").mkdir()
    (tmp_path / "start.py").touch()
    (tmp_path / "ymir_detectron2" / "__init__.py").write_text('__version__ = "9.9.\n1"\n')
    with pytest.raises(ConfigError, match="without a version"):
        check_checkout(tmp_path)
