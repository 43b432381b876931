"""Pascal VOC files of the platform and of annotation tools, and XML that is something else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ymir_detectron2.contract.voc_xml import NotVocError, parse_voc

BOX = "<bndbox><xmin>10</xmin><ymin>7</ymin><xmax>19</xmax><ymax>29</ymax></bndbox>"
CORNERS = (10.0, 7.0, 19.0, 29.0)


def bndbox(x1: Any = 10, y1: Any = 7, x2: Any = 19, y2: Any = 29, more: str = "") -> str:
    return f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>{more}</bndbox>"


def boxes_of(content: str) -> list[tuple[Any, ...]]:
    """Name, corners and angle in degrees of each box of an object with this content; no angle where there is no box."""
    items = parse_voc(f"<annotation><object>{content}</object></annotation>").objects
    return [
        (item.name, None) if item.corners is None
        else (item.name, item.corners, round(math.degrees(item.angle_rad), 3)) for item in items
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "boxes"),
    [
        pytest.param(f"<name>cat</name>{BOX}", [("cat", CORNERS, 0)], id="plain"),
        pytest.param(f"<name> cat\n</name>{BOX}", [("cat", CORNERS, 0)], id="blanks"),
        pytest.param(f"<name>\u732b</name>{BOX}", [("\u732b", CORNERS, 0)], id="Chinese"),
        pytest.param(f"<name>cat</name>{BOX}{bndbox(1, 1, 2, 2)}", [("cat", CORNERS, 0), ("cat", (1, 1, 2, 2), 0)],
                     id="two boxes"),
        pytest.param(f"<name/>{BOX}", [("", CORNERS, 0)], id="no name"),
        pytest.param(BOX, [("", CORNERS, 0)], id="nothing but a box"),
        pytest.param("<name>cat</name>", [("cat", None)], id="no box"),
        pytest.param(f"<name>cat</name><part><name>ear</name>{BOX}</part>", [("cat", None)], id="a box of a part"),
        pytest.param("<name>cat</name><bndbox/>", [("cat", None)], id="no corners"),
        pytest.param(f"<name>cat</name>{bndbox('10.0', ' 7 ', '1.9e1', '+29')}", [("cat", CORNERS, 0)], id="numbers"),
        *(
            pytest.param(f"<name>cat</name>{bndbox(x2=text)}", [("cat", None)], id=f"corner {text!r}")
            for text in ("", "null", "Infinity", "-inf", "NaN", "1,5", "ten")
        ),
        pytest.param(f"<name>cat</name>{bndbox(more='<rotate_angle>0.5</rotate_angle>')}", [("cat", CORNERS, 90)],
                     id="the platform's angle, in units of pi"),
        pytest.param(f"<name>cat</name>{bndbox(more='<rotate_angle/>')}", [("cat", CORNERS, 0)], id="empty angle"),
        pytest.param(f"<name>cat</name>{bndbox(more='<rotate_angle>x</rotate_angle>')}", [("cat", None)],
                     id="an angle that is no number"),
        pytest.param(
            "<name>cat</name><attributes><attribute><name>occluded</name><value>0</value></attribute><attribute>"
            f"<name>rotation</name><value>90.0</value></attribute></attributes>{BOX}", [("cat", CORNERS, 90)],
            id="CVAT, in degrees",
        ),
        pytest.param(
            "<type>robndbox</type><name>cat</name><robndbox><cx>15</cx><cy>18.5</cy><w>10</w><h>23</h>"
            "<angle>1.5707963</angle></robndbox>", [("cat", CORNERS, 90)], id="roLabelImg, in radians",
        ),
        pytest.param("<name>cat</name><robndbox><cx>15</cx></robndbox>", [("cat", None)], id="half of it"),
    ],
)  # fmt: skip
def test_the_boxes_of_an_object(content: str, boxes: list):
    assert boxes_of(content) == boxes


def test_objects_are_numbered_as_in_the_file():
    voc = parse_voc(f"<annotation><object>{BOX}{BOX}</object><object/><object>{BOX}</object></annotation>")
    assert [item.number for item in voc.objects] == [1, 1, 2, 3]


WHOLE = f"<annotation><object><name>cat</name>{BOX}</object></annotation>"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f'<?xml version="1.0" encoding="gb2312"?>{WHOLE}',
        f'<?xml version="1.0" encoding="foo-8"?>{WHOLE}',
        f"<!-- a comment --><!DOCTYPE annotation>{WHOLE}",
        WHOLE.replace("<annotation>", '<annotation xmlns="http://example.org/voc">'),
        WHOLE.replace("<", "<v:").replace("<v:/", "</v:").replace("annotation>", 'annotation xmlns:v="x">', 1),
        WHOLE.replace("<", "<v:").replace("<v:/", "</v:"),
        WHOLE.upper().replace("CAT", "cat"),
        WHOLE.replace("annotation", "Annotation").replace("object", "Object"),
        WHOLE.replace("annotation", "root"),
    ],
)
def test_forms_of_a_voc_file(text: str):
    assert [(item.name, item.corners) for item in parse_voc(text).objects] == [("cat", CORNERS)]


@pytest.mark.parametrize("text", ["<annotation/>", '<annotation xmlns="x"></annotation>', "<Annotation> </Annotation>"])
def test_an_image_without_objects(text: str):
    assert parse_voc(text).objects == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("<html><body>502 Bad Gateway</body></html>", "has <html> where Pascal VOC has <annotation>"),
        ('<annotations><image name="a.jpg"><box label="cat"/></image></annotations>', "has <annotations> where Pascal"),
        ("<annotation><object>", "is not valid XML: no element found"),
        ("<annotation>\0</annotation>", "is not valid XML"),
        ("<", "is not valid XML"),
        ('<!DOCTYPE a [<!ENTITY c "cat">]><annotation><object><name>&c;</name></object></annotation>', "entity 'c'"),
    ],
)
def test_what_is_not_voc_is_not_an_image_without_objects(text: str, finding: str):
    with pytest.raises(NotVocError, match=finding):
        parse_voc(text)


@pytest.mark.parametrize(
    ("size", "wh"),
    [
        ("<size><width>96</width><height>64</height><depth>3</depth></size>", (96, 64)),
        ("<size><width>96.0</width><height> 64 </height></size>", (96, 64)),
        ("<size><width>0</width><height>0</height></size>", None),
        ("<size><width>96</width></size>", None),
        ("<size><width>inf</width><height>64</height></size>", None),
        ("<size/>", None),
        ("", None),
    ],
)
def test_the_stated_size(size: str, wh: tuple[int, int] | None):
    assert parse_voc(f"<annotation>{size}</annotation>").stated_wh == wh


@pytest.mark.parametrize(
    ("filename", "is_platforms"), [("/in/assets/17/8e5f.jpg", True), ("8e5f.jpg", False), ("", False)]
)
def test_files_of_the_platform_are_known_by_the_place_of_their_image(filename: str, is_platforms: bool):
    assert parse_voc(f"<annotation><filename>{filename}</filename></annotation>").is_platforms == is_platforms
