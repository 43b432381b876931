"""XML as a tree of elements, without entities: annotations of Pascal VOC.

A dozen declarations of entities can stand for gigabytes of text. expat bounds them since 2.4.1, but Python uses the one
of the distribution, and Ubuntu 20.04 has an older one. No annotation declares any, so that all of them are refused.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any
from xml.parsers import expat


class NotXmlError(ValueError):
    """The text is not XML, or declares an entity."""


def parse_xml(text: str) -> ElementTree.Element:
    """Return the root element; tags keep the prefix of a namespace, whether or not it is declared.

    Args:
        text: decoded, as by `text_file.decode_text`; an encoding that it declares no longer counts.

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
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError) as error:  # ValueError: half a character
        raise NotXmlError(str(error)) from error
    root: ElementTree.Element = tree.close()
    return root


def _refuse_entity(name: str, *_: Any) -> None:
    raise NotXmlError(f"entity {name[:50]!r}; no annotation needs one")
