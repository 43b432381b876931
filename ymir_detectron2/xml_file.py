"""XML as a tree of elements, without entities: annotations of Pascal VOC.

A dozen declarations of entities can stand for gigabytes of text. expat bounds them since 2.4.1, but Python uses the one
of the distribution, and Ubuntu 20.04 has an older one. No annotation declares any, so that all of them are refused.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any
from xml.parsers import expat


class NotXmlError(ValueError):
    """The text is not XML, in an encoding that Python does not know, or declares an entity."""


def parse_xml(content: str | bytes) -> ElementTree.Element:
    """Return the root element.

    Args:
        content: bytes are in UTF-8, or in the encoding that they declare.

    Raises:
        NotXmlError: see there.
    """
    tree: Any = ElementTree.TreeBuilder()
    # ElementTree's own parser, which is written in C, has no place for the handlers of entities
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = parser.SkippedEntityHandler = _refuse_entity
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # of the latter two: an unknown encoding
        raise NotXmlError(str(error)) from error
    root: ElementTree.Element = tree.close()
    return root


def _refuse_entity(name: str, *_: Any) -> None:
    raise NotXmlError(f"entity {name[:50]!r}; no annotation needs one")
