"""Names of images in a task folder: those that the user knows, unique, and safe in an index file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ymir_detectron2.tools.file_names import MAX_NAME_BYTES, readable_names


def names(*files: str | bytes) -> list[str]:
    paths = [Path(os.fsdecode(file)) for file in files]
    found = readable_names(paths)
    return [found[path] for path in paths]


@pytest.mark.parametrize(
    "name",
    ["0042.jpg", "first one.JPG", "猫.png", "clip.mp4#t=0.5.jpg", "a'b,(1).jpg", "noextension", "콘.webp", "café.jpg"],
)
def test_names_stay(name: str):
    assert names(f"/data/images/{name}") == [name]


def test_folders_come_before_a_name_only_where_two_have_it():
    assert names("/d/line3/0042.jpg", "/d/line4/0042.jpg", "/d/line4/1.jpg") == [
        "line3_0042.jpg",
        "line4_0042.jpg",
        "1.jpg",
    ]
    assert names("/d/train/images/1.jpg", "/d/val/images/1.jpg") == ["train_images_1.jpg", "val_images_1.jpg"]
    assert names("d/1.jpg", "1.jpg") == ["d_1.jpg", "1.jpg"]


def test_a_name_that_a_longer_one_would_take():
    assert names("/d/a/b.jpg", "/d/c/b.jpg", "/d/a_b.jpg") == ["d_a_b.jpg", "c_b.jpg", "d_a_b_2.jpg"]


@pytest.mark.parametrize(
    ("one", "other"), [("/d/a/X.jpg", "/d/b/x.JPG"), ("/d/a/caf\u00e9.jpg", "/d/b/cafe\u0301.jpg")]
)
def test_names_that_some_file_systems_do_not_tell_apart(one: str, other: str):
    assert [name[:2] for name in names(one, other)] == ["a_", "b_"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a\tb.jpg", "a_b.jpg"), ("a\nb.jpg", "a_b.jpg"), ("-rf.jpg", "_rf.jpg"), (" a.jpg", "a.jpg"),
        ("\u3000a.jpg", "a.jpg"),
        ("a\u2028b.jpg", "a_b.jpg"), ("a\u202egpj.exe.jpg", "a_gpj.exe.jpg"), (b"caf\xe9.jpg", "caf_.jpg"),
        ("a\\b.jpg", "a_b.jpg"), ("a:b?.jpg", "a_b_.jpg"), ("con.jpg", "_con.jpg"), ("LPT1.png", "_LPT1.png"),
        ("\x7f", "_"),
    ],
)  # fmt: skip
def test_names_that_are_not_safe_become_readable_ones(name: str | bytes, safe: str):
    assert names(name) == [safe]


def test_unsafe_names_stay_different():
    assert names("/d/a\tb.jpg", "/d/a\nb.jpg", "/d/a_b.jpg") == ["d_a_b.jpg", "d_a_b_2.jpg", "d_a_b_3.jpg"]


@pytest.mark.parametrize("character", ["a", "猫"])
def test_long_names_are_cut_and_stay_different(character: str):
    long = [f"{character * (240 // len(character.encode()))}{end}.jpg" for end in "12"]
    found = names(*long)
    assert len(set(found)) == 2
    for name in found:
        assert len(name.encode()) <= MAX_NAME_BYTES
        assert name.startswith(character * 50)
        assert name.endswith(".jpg")


def test_many_names_in_few_folders():
    paths = [Path(f"/d/{number % 10}/{number // 10}.jpg") for number in range(20_000)]
    assert len(set(readable_names(paths).values())) == len(paths)
