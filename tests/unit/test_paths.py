"""Container paths and the real paths they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.contract.paths import PathMap


@pytest.mark.parametrize(
    ("env_file", "in_dir", "out_dir"),
    [
        ("/in/env.yaml", "/in", "/out"),
        ("/x/in/env.yaml", "/x/in", "/x/out"),
        ("/x/task/env.yaml", "/x/task", "/x/task/out"),
        ("/x/task/../in/./env.yaml", "/x/in", "/x/out"),
    ],
)
def test_folders_of_in_and_out(env_file: str, in_dir: str, out_dir: str):
    assert PathMap.for_env_file(Path(env_file)) == PathMap(Path(in_dir), Path(out_dir))


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/in", "/x/in"),
        ("/in/assets/./17/a b.jpg", "/x/in/assets/17/a b.jpg"),
        ("/out/models/", "/x/out/models"),
        ("/input/a.jpg", "/input/a.jpg"),
        ("/in/../etc/passwd", "/etc/passwd"),
        ("assets/a.jpg", "/x/in/assets/a.jpg"),
        ("//in/a.jpg", "//in/a.jpg"),
    ],
)
def test_container_paths_become_real_ones(path: str, real: str):
    assert str(PathMap(Path("/x/in"), Path("/x/out")).resolve(path)) == real


def test_backslashes_are_slashes_where_no_file_has_them_in_its_name(tmp_path: Path):
    paths = PathMap(tmp_path / "in", tmp_path / "out")
    assert paths.resolve("assets\\17\\a.jpg") == tmp_path / "in" / "assets" / "17" / "a.jpg"
    assert paths.resolve("\\in\\assets\\a.jpg") == tmp_path / "in" / "assets" / "a.jpg"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\\b.jpg").touch()
    assert paths.resolve("/in/a\\b.jpg") == tmp_path / "in" / "a\\b.jpg"


def test_a_container_path_is_that_of_the_file_wherever_the_folder_is(tmp_path: Path):
    paths = PathMap.for_env_file(tmp_path / "in" / "env.yaml")
    for written in ("/in/assets/17/a b.jpg", "/out/models/x.pth"):
        assert paths.container_path(paths.resolve(written)) == written
    assert paths.container_path(Path("/data/a.jpg")) == "/data/a.jpg"
    assert paths.container_path(tmp_path / "input" / "a.jpg") == f"{tmp_path}/input/a.jpg"
    assert PathMap(Path("/in"), Path("/out")).container_path(Path("/in/assets/a.jpg")) == "/in/assets/a.jpg"
