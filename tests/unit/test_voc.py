"""Pascal VOC datasets: layouts, lists, encodings, odd XML, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import corners_xml, marked_image, voc_xml, write_text, write_voc
from ymir_detectron2.contract.annotations import MAX_LABEL_BYTES
from ymir_detectron2.contract.data_issues import ROTATED, SCALED, TURNED, TWICE, DataIssues
from ymir_detectron2.contract.index_file import LISTED_TWICE
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox
from ymir_detectron2.sources.source import TEST, TRAIN, UNDIVIDED, UNLABELLED, VAL
from ymir_detectron2.sources.voc import VocSource

BOMB = '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij")
) + "]><a>&j;</a>"
IMAGES: dict[str, list[LabelledBox]] = {"first one": [("WBC", 1, 2, 10, 12), ("RBC", 5, 5, 5, 4)], "empty": []}
BOX = corners_xml(20, 10, 60, 50)


def read_split(root: Path, split: str, issues: DataIssues | None = None) -> list[AnnotatedImage]:
    issues = DataIssues() if issues is None else issues
    return VocSource(root, [split], issues).read(TRAIN, issues)


def one_image(root: Path, xml: str | bytes, *, orientation: int = 1) -> Path:
    """Write a dataset of one image, 96x64 as stored, and its list s.txt."""
    marked_image(root / "JPEGImages" / "p0.png", orientation=orientation)
    write_text(root / "Annotations" / "p0.xml", xml)
    write_text(root / "s.txt", "p0\n")
    return root


@pytest.mark.parametrize("names", [("annotations", "images"), ("Annotations", "JPEGImages")])
def test_images_of_a_split_with_their_boxes(tmp_path: Path, names: tuple[str, str]):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty", "", " first one "]}, names=names)
    assert [(image.path, list(image.boxes)) for image in read_split(voc, "train.txt")] == [
        (voc / names[1] / "empty.jpg", []),
        (voc / names[1] / "first one.jpg", IMAGES["first one"]),
    ]


def test_a_split_may_be_a_path_and_list_file_names(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {})
    (tmp_path / "split.txt").write_text("empty.jpg\n")
    assert [image.path.name for image in read_split(voc, str(tmp_path / "split.txt"))] == ["empty.jpg"]


def test_candidates_need_no_annotations(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty"]})
    (voc / "annotations" / "empty.xml").unlink()
    source = VocSource(voc, ["train.txt"], DataIssues())
    assert [path.name for path in source.sets[TRAIN]] == ["empty.jpg"]


@pytest.mark.parametrize(
    ("files", "sets"),
    [
        pytest.param(["a.jpg", "b.jpg"], {UNDIVIDED: ["a.jpg", "b.jpg"]}, id="side by side, as LabelImg"),
        pytest.param(
            ["train/a.jpg", "train/b.jpg", "valid/c.jpg", "test/d.jpg"],
            {TRAIN: ["train/a.jpg", "train/b.jpg"], VAL: ["valid/c.jpg"], TEST: ["test/d.jpg"]},
            id="a folder for each set, as Roboflow",
        ),
        pytest.param(["JPEGImages/x/a.jpg"], {UNDIVIDED: ["JPEGImages/x/a.jpg"]}, id="sub-folders, as CVAT"),
    ],
)
def test_layouts_without_lists(tmp_path: Path, files: list[str], sets: dict[str, list[str]]):
    for number, name in enumerate(files):
        marked_image(tmp_path / name, shade=number)
        xml = name.replace("JPEGImages", "Annotations").replace(".jpg", ".XML")
        write_text(tmp_path / xml, voc_xml(BOX, wh=(96, 64)))
    source, issues = VocSource(tmp_path, [], DataIssues()), DataIssues()
    assert {name: [str(path.relative_to(tmp_path)) for path in paths] for name, paths in source.sets.items()} == sets
    read = [image for name in source.sets for image in source.read(name, issues)]
    assert [image.boxes for image in read] == [(("cat", 20, 10, 60, 50),)] * len(files)
    assert not issues


@pytest.mark.parametrize("folder", ["ImageSets/Main", "."])
def test_own_lists_are_found(tmp_path: Path, folder: str):
    voc = write_voc(tmp_path / "voc", {stem: [] for stem in "abc"}, {})
    for name, stem in (("train", "a"), ("val", "c"), ("trainval", "b")):
        write_text(voc / folder / f"{name}.txt", f"{stem}\n")
    sets = VocSource(voc, [], DataIssues()).sets
    assert {name: [path.stem for path in paths] for name, paths in sets.items()} == {TRAIN: ["a"], VAL: ["c"]}


def test_a_line_with_a_folder_means_the_file_in_it(tmp_path: Path):
    for folder, name in (("", "top"), ("b/", "below")):
        marked_image(tmp_path / f"JPEGImages/{folder}1.jpg", shade=len(folder))
        write_text(tmp_path / f"Annotations/{folder}1.xml", voc_xml(BOX).replace("cat", name))
    write_text(tmp_path / "s.txt", "b/1\n")
    (image,) = read_split(tmp_path, "s.txt")
    assert (image.path, image.boxes[0][0]) == (tmp_path / "JPEGImages" / "b" / "1.jpg", "below")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_lists_of_windows(tmp_path: Path, encoding: str):
    voc = write_voc(tmp_path / "voc", IMAGES, {})
    write_text(voc / "s.txt", "first one\r\nempty\r\n".encode(encoding))
    assert [image.path.stem for image in read_split(voc, "s.txt")] == ["first one", "empty"]


def test_an_image_that_is_listed_twice_counts_once(tmp_path: Path):
    voc, issues = write_voc(tmp_path / "voc", IMAGES, {"s.txt": ["empty", "empty.jpg"]}), DataIssues()
    assert len(read_split(voc, "s.txt", issues)) == 1
    assert issues.count(LISTED_TWICE) == 1


def test_fractions_are_cut_and_objects_without_box_are_counted(tmp_path: Path):
    box = "<bndbox><xmin>1.9</xmin><ymin>2</ymin><xmax>3e1</xmax><ymax> 4 </ymax></bndbox>"
    issues = DataIssues()
    (image,) = read_split(one_image(tmp_path, voc_xml(box, "").replace("cat", " cat ")), "s.txt", issues)
    assert image.boxes == (("cat", 1, 2, 30, 4),)
    assert issues.as_dict() == {
        "object without <bndbox>, left out": {"count": 1, "first": [f"{tmp_path}/Annotations/p0.xml: object 2"]}
    }


@pytest.mark.parametrize(
    ("xml", "boxes"),
    [
        pytest.param(voc_xml(BOX + corners_xml(50, 10, 70, 50)), [(20, 10, 60, 50), (50, 10, 70, 50)], id="two boxes"),
        pytest.param(
            voc_xml(BOX).replace("<annotation>", '<annotation xmlns="http://example.org/voc">'), [(20, 10, 60, 50)],
            id="a namespace",
        ),
        pytest.param('<?xml version="1.0" encoding="UTF-8"?>\n' + voc_xml(BOX), [(20, 10, 60, 50)], id="a declaration"),
        pytest.param("\ufeff" + voc_xml(BOX), [(20, 10, 60, 50)], id="a mark"),
        pytest.param(voc_xml(BOX).encode("utf-16"), [(20, 10, 60, 50)], id="UTF-16"),
        pytest.param(voc_xml(), [], id="no objects"),
    ],
)  # fmt: skip
def test_what_tools_make_of_the_format(tmp_path: Path, xml: str | bytes, boxes: list[tuple[int, ...]]):
    issues = DataIssues()
    (image,) = read_split(one_image(tmp_path, xml), "s.txt", issues)
    assert image.boxes == tuple(("cat", *box) for box in boxes)
    assert not issues


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "shift_jis"])
def test_names_in_encodings_that_expat_does_not_know(tmp_path: Path, encoding: str):
    xml = f'<?xml version="1.0" encoding="{encoding}"?>' + voc_xml(BOX).replace(
        "cat", "図" if "jis" in encoding else "猫"
    )
    (image,) = read_split(one_image(tmp_path, xml.encode(encoding)), "s.txt")
    assert image.boxes[0][0] in "図猫"


@pytest.mark.parametrize(
    ("inside", "wh", "orientation", "reason", "expected"),
    [
        pytest.param(corners_xml(40, 20, 120, 100), (192, 128), 1, SCALED, (20, 10, 60, 50), id="size"),
        pytest.param(BOX, (96, 64), 6, TURNED, (13, 20, 53, 60), id="EXIF"),
        pytest.param(
            corners_xml(10, 25, 79, 34)
            + "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>",
            (96, 64), 1, ROTATED, (40, 0, 49, 63), id="CVAT's rotation",
        ),
        pytest.param(
            corners_xml(10, 25, 79, 34).replace("</bndbox>", "<rotate_angle>0.5</rotate_angle></bndbox>"),
            (96, 64), 1, ROTATED, (40, 0, 49, 63), id="the platform's rotate_angle",
        ),
        pytest.param(
            "<robndbox><cx>45</cx><cy>30</cy><w>70</w><h>10</h><angle>1.5707963</angle></robndbox>",
            (96, 64), 1, ROTATED, (40, 0, 49, 63), id="roLabelImg",
        ),
    ],
)  # fmt: skip
def test_boxes_of_other_frames_are_converted_and_counted(
    tmp_path: Path, inside: str, wh: tuple[int, int], orientation: int, reason: str, expected: tuple[int, ...]
):
    root, issues = one_image(tmp_path, voc_xml(inside, wh=wh), orientation=orientation), DataIssues()
    assert read_split(root, "s.txt", issues)[0].boxes == (("cat", *expected),)
    assert list(issues.as_dict()) == [reason]


def test_the_size_in_files_of_the_platform_says_nothing_about_the_frame(tmp_path: Path):
    xml = voc_xml(BOX, wh=(96, 64)).replace("<size>", "<filename>/in/assets/17/8e5f17.jpg</filename><size>")
    issues = DataIssues()
    assert read_split(one_image(tmp_path, xml, orientation=6), "s.txt", issues)[0].boxes == (("cat", 20, 10, 60, 50),)
    assert not issues


def test_an_object_that_is_there_twice_counts_once(tmp_path: Path):
    issues = DataIssues()
    assert len(read_split(one_image(tmp_path, voc_xml(BOX, BOX)), "s.txt", issues)[0].boxes) == 1
    assert issues.count(TWICE) == 1


def test_only_images_are_images(tmp_path: Path):
    root = one_image(tmp_path, voc_xml(BOX))
    write_text(root / "JPEGImages" / "p0.json", '{"shapes": []}')
    (root / "JPEGImages" / "p0").mkdir()
    assert [image.path.name for image in read_split(root, "s.txt")] == ["p0.png"]


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        pytest.param("<annotation>", "is not valid XML", id="cut off"),
        pytest.param("", "is not valid XML", id="empty"),
        pytest.param(
            "<annotation><object><name> </name></object></annotation>", "object 1 has no <name>", id="no name"
        ),
        pytest.param(voc_xml("<bndbox><xmin>one</xmin></bndbox>"), "object 1: <xmin> holds 'one'", id="a word"),
        pytest.param(voc_xml(BOX, BOX.replace("50", "inf")), "object 2: <ymax> holds 'inf'", id="infinite"),
        pytest.param(voc_xml(BOX.replace("<ymax>50</ymax>", "")), "object 1: <ymax> holds None", id="a corner missing"),
        pytest.param(
            "<html><body>502 Bad Gateway</body></html>", "has <html> where Pascal VOC has", id="an error page"
        ),
        pytest.param("<annotations><image name='a'/></annotations>", "has <annotations> where", id="CVAT for images"),
        pytest.param(voc_xml(wh=(640, 640)), "states the size 640x640, but .* has 96x64", id="another size"),
        pytest.param(b"<annotation>\xff\xfe</annotation>", "is not UTF-8 text", id="bytes of no encoding"),
        pytest.param(BOMB, "is not valid XML: entity 'a'", id="entities that stand for a billion"),
        pytest.param('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///a">]><a>&b;</a>', "is not valid XML: ent", id="a file"),
        pytest.param("<a>" * 100_000, "is not valid XML", id="deep"),
        pytest.param(voc_xml(BOX.replace("20", "9" * 5000)), "object 1: <xmin> holds '999", id="5000 digits"),
        pytest.param(voc_xml(BOX.replace("20", "1e300")), r"object 1: its corners are 1e\+300, 10, 60, 50", id="1e300"),
        pytest.param(
            voc_xml(BOX).replace("cat", "a&#10;b"), r"object 1: 'a\\nb' cannot be the name of a class", id="two lines"
        ),
        *(
            pytest.param(f'<?xml version="1.0" encoding="{name}"?><a/>', "has <a> where Pascal VOC has", id=name)
            for name in ("x-none", "hex", "idna", "undefined", "utf-7", "unicode_escape")
        ),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(tmp_path: Path, xml: str | bytes, sentence: str):
    root = one_image(tmp_path, xml)
    with pytest.raises(DatasetError, match=f"^{root}/Annotations/p0.xml: [^\n]*{sentence}[^\n]*$") as error:
        read_split(root, "s.txt")
    assert len(str(error.value)) < 1000


def test_an_image_without_annotation_has_no_objects_unless_all_lack_it(tmp_path: Path):
    voc, issues = write_voc(tmp_path / "voc", IMAGES, {"s.txt": list(IMAGES)}), DataIssues()
    (voc / "annotations" / "first one.xml").unlink()
    assert [image.boxes for image in read_split(voc, "s.txt", issues)] == [(), ()]
    assert issues.count(UNLABELLED) == 1
    (voc / "annotations" / "empty.xml").unlink()
    with pytest.raises(DatasetError, match="none of 2 images has an annotation file; expected an XML file"):
        read_split(voc, "s.txt")


def test_a_split_line_without_an_image_is_named(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty", "nobody"]})
    with pytest.raises(DatasetError, match=r"train\.txt:2: no image named 'nobody' in .*voc; correct the line"):
        read_split(voc, "train.txt")


@pytest.mark.parametrize("line", ["abcd\0e", "x" * 300, "x" * 5000, "a/" * 3000, "a\x85b", "/dev/zero"])
def test_a_line_that_names_no_file_is_quoted_in_short(tmp_path: Path, line: str):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": [line]})
    with pytest.raises(DatasetError, match=r"^[^\n]*train\.txt:1: no image named [^\n]*; correct the line$") as error:
        read_split(voc, "train.txt")
    assert len(str(error.value)) < 1000


def test_an_annotation_that_would_fill_the_memory_is_not_read(tmp_path: Path):
    root = one_image(tmp_path, voc_xml(BOX))
    with (root / "Annotations" / "p0.xml").open("r+b") as file:
        file.truncate(MAX_LABEL_BYTES + 1)
    with pytest.raises(DatasetError, match=rf"p0\.xml: cannot be read \(Larger than {MAX_LABEL_BYTES} bytes\)"):
        read_split(root, "s.txt")


def test_a_missing_frame_is_not_replaced_by_another(tmp_path: Path):
    write_voc(tmp_path / "voc", {"clip.mp4#t=0": [], "clip.mp4#t=1.5": []}, {"s.txt": ["clip.mp4#t=0.5"]})
    with pytest.raises(DatasetError, match=r"s\.txt:1: no image named 'clip\.mp4#t=0\.5'"):
        read_split(tmp_path / "voc", "s.txt")


def test_two_images_or_annotations_for_one_name(tmp_path: Path):
    root = one_image(tmp_path, voc_xml(BOX))
    marked_image(root / "JPEGImages" / "p0.jpg")
    with pytest.raises(DatasetError, match=r"s\.txt:1: 'p0' may be JPEGImages/p0\.jpg or JPEGImages/p0\.png"):
        read_split(root, "s.txt")
    with pytest.raises(DatasetError, match=r"p0\.jpg: JPEGImages/p0\.png has the same annotation"):
        VocSource(root, [], DataIssues())
    (root / "JPEGImages" / "p0.jpg").unlink()
    write_text(root / "p0.xml", voc_xml())
    with pytest.raises(DatasetError, match=r"p0\.xml: p0\.xml is the annotation of .*p0\.png as well"):
        read_split(root, "s.txt")


def test_folders_and_splits_that_do_not_exist(tmp_path: Path):
    with pytest.raises(ConfigError, match="holds no images; give the root of a Pascal VOC set"):
        read_split(tmp_path, "train.txt")
    voc = write_voc(tmp_path / "voc", IMAGES, {})
    for name in ("gone.txt", "x" * 300):
        with pytest.raises(ConfigError, match=rf"^{name}: no such split file, neither below .*voc nor as a path"):
            read_split(voc, name)
