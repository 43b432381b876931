"""Layouts of YOLO datasets: data.yaml of ultralytics and Roboflow, obj.data of darknet and CVAT, plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import grey_image, write_text
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.source import TEST, TRAIN, UNDIVIDED, VAL
from ymir_detectron2.sources.yolo_layout import find_description, find_layout, read_class_file

ULTRALYTICS = ("images/train/a.jpg", "images/val/b.jpg")
ROBOFLOW = ("train/images/a.jpg", "valid/images/b.jpg")


def dataset(root: Path, images: tuple[str, ...], **files: str | bytes) -> Path:
    """Write images and files, in whose names `__` stands for a dot."""
    for number, name in enumerate(images):
        grey_image(root / name, number)
    for name, content in files.items():
        write_text(root / name.replace("__", "."), content)
    return root


def relative_sets(root: Path, path: Path | None = None) -> dict[str, list[str]]:
    sets = find_layout(path or root).sets
    return {name: [str(image.relative_to(root)) for image in images] for name, images in sets.items()}


@pytest.mark.parametrize(
    ("images", "yaml"),
    [
        pytest.param(ULTRALYTICS, "path: .\ntrain: images/train\nval: images/val\nnames: [cat]", id="folders"),
        pytest.param(ULTRALYTICS, "train: images/train\nval: images/val\nnames:\n  0: cat", id="names by number"),
        pytest.param(ULTRALYTICS, "path: ../x\ntrain: images/train/\nval: ./images/val\nnames: {0: cat}", id="path"),
        pytest.param(ULTRALYTICS, "train: [images/train]\nval: [images/val]\ntest:\nnames: [cat]\nnc: '1'", id="lists"),
        pytest.param(ULTRALYTICS, "train: images\\train\nval: images\\val\nnames: [cat]", id="backslashes"),
        pytest.param(ULTRALYTICS, "\ufefftrain: images/train\nval: images/val\nnames: [cat]", id="a mark"),
        pytest.param(
            ROBOFLOW, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat]", id="Roboflow"
        ),
        pytest.param(
            ROBOFLOW, "train: /content/x/train/images\nval: /content/x/valid/images\nnames: ['cat']", id="Colab"
        ),
    ],
)  # fmt: skip
def test_data_yaml(tmp_path: Path, images: tuple[str, ...], yaml: str):
    root = dataset(tmp_path / "ds", images, data__yaml=yaml)
    expected = {TRAIN: [images[0]], VAL: [images[1]]}
    assert relative_sets(root) == relative_sets(root, root / "data.yaml") == expected
    assert find_layout(root).class_names == ["cat"]


@pytest.mark.parametrize(
    "line", ["images/train/a.jpg", "./images/train/a.jpg", "data/images/train/a.jpg", "{root}/images/train/a.jpg"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_data_yaml_with_list_files(tmp_path: Path, line: str, encoding: str):
    root = dataset(
        tmp_path, ULTRALYTICS, train__txt=f"{line.format(root=tmp_path)}\r\n".encode(encoding),
        val__txt="images/val/b.jpg",
        data__yaml="train: train.txt\nval: val.txt\nnames: [cat]",
    )  # fmt: skip
    assert relative_sets(root) == {TRAIN: ["images/train/a.jpg"], VAL: ["images/val/b.jpg"]}


def test_obj_data_of_cvat(tmp_path: Path):
    root = dataset(
        tmp_path, ("obj_train_data/a.jpg", "obj_train_data/b.jpg"), obj__names="cat\ndog\n",
        train__txt="data/obj_train_data/b.jpg",
        obj__data="classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = x/",
    )  # fmt: skip
    assert relative_sets(root) == {TRAIN: ["obj_train_data/b.jpg"]}
    assert find_layout(root).class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("images", "sets"),
    [
        (("images/a.jpg", "images/b.jpg"), {UNDIVIDED: ["images/a.jpg", "images/b.jpg"]}),
        (
            ("images/train/a.jpg", "images/val2017/b.jpg"),
            {TRAIN: ["images/train/a.jpg"], VAL: ["images/val2017/b.jpg"]},
        ),
        (("test/images/a.jpg", "valid/images/b.jpg"), {TEST: ["test/images/a.jpg"], VAL: ["valid/images/b.jpg"]}),
        (("a.jpg",), {UNDIVIDED: ["a.jpg"]}),
    ],
)
def test_plain_folders(tmp_path: Path, images: tuple[str, ...], sets: dict[str, list[str]]):
    assert relative_sets(dataset(tmp_path, images)) == sets


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names", "train/_darknet.labels"])
def test_class_files_are_found(tmp_path: Path, name: str):
    root = dataset(tmp_path, ("images/a.jpg",))
    write_text(root / name, "cat\r\n猫\r\n\r\n".encode("utf-8-sig"))
    assert find_layout(root).class_names == ["cat", "猫"]


def test_class_files_that_differ_are_named(tmp_path: Path):
    root = dataset(tmp_path, ("images/a.jpg",), classes__txt="cat\ndog")
    write_text(root / "labels" / "classes.txt", "dog\ncat")
    with pytest.raises(ConfigError, match=r"labels/classes\.txt: names other classes than .*classes\.txt; remove one"):
        find_layout(root)


def test_an_empty_line_would_shift_the_names(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"c\.txt:2: is empty; a class number without a name"):
        read_class_file(write_text(tmp_path / "c.txt", "cat\n\ndog\n"))


@pytest.mark.parametrize("name", ["a\x0cb", "a\u2028b", "\0"])
def test_what_no_class_can_be_called(tmp_path: Path, name: str):
    with pytest.raises(DatasetError, match=r"^[^\n]*c\.txt:2: '.*' cannot be the name of a class; correct the line$"):
        read_class_file(write_text(tmp_path / "c.txt", f"cat\r\n{name}\r\n"))


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("train: images/train\nval: images/gone\nnames: [cat]", r"val: 'images/gone' is neither in"),
        ("train: images/train\nval: images/val\nnames: [cat]\nnc: 2", "nc is 2, but there are 1 names"),
        ("train: images/train\nval: images/val\nnames: [cat, null]", "names is .*, expected a list of names"),
        ("train: images/train\nval: images/val\nnames: {1: cat}", r"names has the numbers \[1\], expected 0, 1, 2"),
        ("train: images/train\nval: images/val\nnames: {zero: cat}", "names has the numbers"),
        ("train: images/train\nval: images/val\nnames: {²: cat}", r"names has the numbers \['²'\]"),
        ("train: images/train\nval: images/val\nnames: {0: cat, '0': dog}", r"names has the numbers \[0, '0'\]"),
        ("train: images/train\nval: images/val\nnames: [[cat]]", r"names is \[\['cat'\]\], expected a list of names"),
        ('train: images/train\nval: images/val\nnames: ["a\\nb"]', r"names is \['a\\nb'\], expected a list of names"),
        ("train: images/train\nval: images/val\nnames: [cat]\nnc: 0x" + "f" * 300, "nc is an integer of 1200 bits"),
        ("train: images/train\nval: images/val\nnames: [0x" + "f" * 300 + "]", "names is .an integer of 1200 bits"),
        ("train: " + "x" * 300 + "\nnames: [cat]", "train: 'xxx.*' is neither in"),
        ("train: " + "x/" * 3000 + "\nnames: [cat]", "train: 'x/x.*' is neither in"),
        ("train: {a: 1}\nnames: [cat]", r"train: \{'a': 1\} is neither in"),
        ("train: images/train\nval: images/val\nnames: [cat]\nkpt_shape: 17", "kpt_shape is 17, expected two numbers"),
    ],
)
def test_a_wrong_data_yaml_is_named_with_its_key(tmp_path: Path, yaml: str, sentence: str):
    root = dataset(tmp_path, ULTRALYTICS, data__yaml=yaml)
    with pytest.raises((ConfigError, DatasetError), match=rf"^[^\n]*data\.yaml: {sentence}[^\n]*$") as error:
        find_layout(root)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", ["2017", "2021-01-01"])
def test_names_that_are_numbers_or_dates_for_yaml(tmp_path: Path, name: str):
    root = dataset(tmp_path, (f"{name}/a.jpg",), data__yaml=f"train: {name}\nnames: {{0: {name}}}")
    assert relative_sets(root) == {TRAIN: [f"{name}/a.jpg"]}
    assert find_layout(root).class_names == [name]


@pytest.mark.parametrize("line", ["a\0b", "x" * 300, "x/" * 3000, "/dev/zero"])
def test_a_list_with_what_can_be_no_image(tmp_path: Path, line: str):
    root = dataset(tmp_path, ("images/a.jpg",), t__txt=line, data__yaml="train: t.txt\nnames: [cat]")
    with pytest.raises(DatasetError, match=r"^[^\n]*t\.txt:1: no image [^\n]*; correct the line$") as error:
        find_layout(root)
    assert len(str(error.value)) < 1000


def test_folders_of_two_sets_do_not_become_one(tmp_path: Path):
    yaml = "train: /content/train/images\nval: /content/valid/images\nnames: [cat]"
    root = dataset(tmp_path, ("images/a.jpg",), data__yaml=yaml)
    with pytest.raises(DatasetError, match="val: '/content/valid/images' is neither in"):
        find_layout(root)


def test_another_folder_is_not_taken_for_a_missing_one(tmp_path: Path):
    yaml = "train: train/images\nval: valid/images\nnames: [cat]"
    root = dataset(tmp_path, ("train/images/a.jpg", "images/b.jpg"), data__yaml=yaml)
    with pytest.raises(DatasetError, match="val: 'valid/images' is neither in"):
        find_layout(root)


def test_a_listed_image_that_is_missing_is_named(tmp_path: Path):
    root = dataset(
        tmp_path, ("images/a.jpg",), t__txt="images/a.jpg\n\nother/a.jpg", data__yaml="train: t.txt\nnames: [cat]"
    )
    with pytest.raises(DatasetError, match=r"t\.txt:3: no image 'other/a\.jpg' in"):
        find_layout(root)


def test_two_descriptions_are_named(tmp_path: Path):
    yaml = "train: images\nnames: [cat]"
    root = dataset(tmp_path, ("images/a.jpg",), a__yaml=yaml, b__yml=yaml, c__yaml="names: [cat]")
    with pytest.raises(ConfigError, match=r"a\.yaml and b\.yml both describe it; give one of them"):
        find_description(root)
    assert relative_sets(root, root / "b.yml") == {TRAIN: ["images/a.jpg"]}
