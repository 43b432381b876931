"""Bounds on nested data from files: a few references to one list can stand for a billion items, or lead in a circle."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator


class DataBoundsError(ValueError):
    """Nested data is larger or deeper than any file of its kind has to be."""


def check_bounds(
    root: Any, children_of: Callable[[Any], Iterable[Any]], *, max_items: int, max_depth: int
) -> None:
    """Walk through nested data as a reader would that knows of no shared parts.

    Whoever prints, copies or flattens data later walks this way too, and may then do so without a care.

    Args:
        children_of: returns the items of a container; of anything else ().
        max_items: values of all kinds together; one that is referred to several times counts each time.
        max_depth: containers within each other; a circle exceeds it.

    Raises:
        DataBoundsError: either is exceeded. Found within `max_items` steps, without recursion.
    """
    levels: list[Iterator[Any]] = [iter((root,))]
    num_items = 0
    while levels:
        for item in levels[-1]:
            num_items += 1
            if num_items > max_items:
                raise DataBoundsError(f"more than {max_items} values, counted at each place that refers to them")
            children = children_of(item)
            if children:
                if len(levels) >= max_depth:
                    raise DataBoundsError(f"nested more than {max_depth} levels deep")
                levels.append(iter(children))
                break
        else:
            levels.pop()
