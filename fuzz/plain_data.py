"""Changes to the structure of plain data, such as the states and lists that the executor writes for itself."""

from __future__ import annotations

import copy
import random
from typing import Any, Sequence

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**63, 10**30, 0.5, -1.0, float("nan"), float("inf"), "", "x", "3", "a\nb", "../x",
    "é\ud800", "/etc/passwd", "x" * 300, [], {}, [[]], [1, 2], {"a": 1}, [None, "x"], {"error": "x"},
)  # fmt: skip


def changed(data: Any, rng: random.Random, count: int, odd: Sequence[Any] = _ODD) -> Any:
    """Change some places of nested lists and dictionaries in place, and return the data.

    Args:
        count: of the changes.
        odd: values that may take the place of others.
    """
    for _ in range(count):
        places = list(_places(data))
        new = copy.deepcopy(rng.choice(odd))
        if not places or rng.random() < 0.02:
            return new
        container, key = rng.choice(places)
        other, other_key = rng.choice(places)
        if rng.random() < 0.3:
            new = copy.deepcopy(other[other_key])
        kind = rng.randrange(4)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, list):
            container.insert(key, new)
        elif kind == 1:
            container[rng.choice(("x", "", 5, f"{key}2"))] = new
        else:
            container[key] = new
    return data


def _places(root: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything within; a value that was put into several places counts once."""
    places, waiting, seen = [], [root], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        keys = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        for key in keys:
            places.append((value, key))
            waiting.append(value[key])
    return places
