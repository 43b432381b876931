"""XML of others: elements and text come through, entities and what no parser should follow do not."""

from __future__ import annotations

import pytest

from ymir_detectron2.xml_file import NotXmlError, parse_xml

LAUGHS = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 10))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("<a><name>cat</name></a>", "cat", id="text"),
        pytest.param("<a><name>cat &amp; dog &#233;</name></a>", "cat & dog é", id="what XML itself defines"),
        pytest.param("<a><name><![CDATA[<cat>]]></name></a>", "<cat>", id="CDATA"),
        pytest.param('<?xml version="1.0" encoding="latin1"?><a><name>é</name></a>', "é", id="text is decoded already"),
        pytest.param('<?xml version="1.0" encoding="nonsense"?><a><name>猫</name></a>', "猫", id="whatever it was in"),
        pytest.param('<a xmlns="http://example.org/voc"><name>cat</name></a>', "cat", id="a namespace"),
        pytest.param("<!DOCTYPE a><a><name>cat</name></a>", "cat", id="a document type without declarations"),
    ],
)
def test_elements_and_their_text(text: str, name: str):
    assert parse_xml(text).findtext("name") == name


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param('<!DOCTYPE a [<!ENTITY c "cat">]><a>&c;</a>', "entity 'c'", id="an entity"),
        pytest.param('<!DOCTYPE a [<!ENTITY c "cat">]><a/>', "entity 'c'", id="one that is not used"),
        pytest.param(f'<!DOCTYPE a [<!ENTITY a0 "lol">{LAUGHS}]><a>&a9;</a>', "entity 'a0'", id="a billion laughs"),
        pytest.param('<!DOCTYPE a [<!ENTITY c SYSTEM "file:///etc/passwd">]><a>&c;</a>', "entity 'c'", id="a file"),
        pytest.param('<!DOCTYPE a [<!ENTITY % c "x">]><a/>', "entity 'c'", id="one of the declarations"),
        pytest.param('<!DOCTYPE a SYSTEM "file:///etc/a.dtd"><a>&c;</a>', "entity 'c'", id="one of another file"),
        pytest.param("<a>&c;</a>", "undefined entity", id="undefined"),
        pytest.param("<a>", "no element found", id="cut off"),
        pytest.param("", "no element found", id="nothing"),
        pytest.param("<a>\ud800</a>", "surrogates", id="half a character"),
    ],
)
def test_what_is_not_xml_or_declares_an_entity_is_refused(text: str, finding: str):
    with pytest.raises(NotXmlError, match=finding):
        parse_xml(text)


def test_many_levels_are_read():
    """Without recursion, which would end the process."""
    assert parse_xml("<a>" * 200_000 + "</a>" * 200_000).tag == "a"
