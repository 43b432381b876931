"""Why an image comes first, in words: a line for the log, and the lines below the image on the page."""

from __future__ import annotations

from typing import Iterator, Sequence

from .mining_explanations import BoxReason, ClassGain, GainParts, ImageReason

_MOVED = 1e-3
"""A score that differs by more was not computed in another batch, but changed."""
_BOXES_LISTED, _CLASSES_LISTED = 3, 3
_CLASSES_IN_BRIEF, _BOXES_IN_BRIEF, _FACTS_IN_BRIEF = 2, 2, 2
_NAME_IN_BRIEF = 24
"""Characters of the name of a class, which is a stranger's."""


def reason_in_brief(reason: ImageReason) -> str:
    """Return what decided on one image in a few words, for one line of a log: `2 x spur 0.41, 0.55; rare class spur`.

    """
    if reason.parts is not None:
        return "; ".join(_gain_in_brief(reason.parts, reason.boxes))
    if not reason.facts:
        return "nothing found"
    if not reason.boxes:
        return ", ".join(f"{name} {value:.3f}" for name, value in reason.facts[:_FACTS_IN_BRIEF])
    if len(reason.facts) == 1:
        return _boxes_by_class(reason.boxes)
    # a score that is not above 0, as CALD's, is high where an augmentation's term is small; else where a term is large
    decide = min if reason.score <= 0 else max
    return _augmentation(*decide(reason.facts, key=lambda fact: fact[1]), reason.boxes)


def _gain_in_brief(parts: GainParts, boxes: Sequence[BoxReason]) -> Iterator[str]:
    if parts.nothing_found:
        yield "nothing found"
    if boxes:
        yield ("below the threshold: " if parts.nothing_found else "") + _boxes_by_class(boxes)
    elif parts.classes:
        yield ", ".join(f"{_cut(part.class_name)} +{part.gain:.3g}" for part in parts.classes[:_CLASSES_IN_BRIEF])
    rare = [part.class_name for part in parts.classes[:_CLASSES_IN_BRIEF] if part.is_rare]
    if rare and not parts.nothing_found:
        yield f"rare class {_cut(rare[0])}"
    if parts.is_unlike:
        yield "unlike those before"
    if parts.is_alike:
        yield f"resembles {parts.resembles or 'a labelled image'}"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_IN_BRIEF else name[: _NAME_IN_BRIEF - 3] + "..."


def _boxes_by_class(boxes: Sequence[BoxReason]) -> str:
    """Return the boxes by class, both in the order in which they contribute: `2 x spur 0.41, 0.55; 1 x open 0.30`."""
    by_class: dict[str, list[float]] = {}
    for box in boxes:
        by_class.setdefault(box.class_name, []).append(box.score)
    named = [
        f"{len(scores)} x {_cut(name)} " + ", ".join(f"{score:.2f}" for score in scores[:_BOXES_IN_BRIEF])
        + (", ..." if len(scores) > _BOXES_IN_BRIEF else "")
        for name, scores in list(by_class.items())[:_CLASSES_IN_BRIEF]
    ]  # fmt: skip
    if len(by_class) > len(named):
        named.append(_more_classes(len(by_class) - len(named)))
    return "; ".join(named)


def _more_classes(count: int) -> str:
    return "1 more class" if count == 1 else f"{count} more classes"


def reason_lines(score: float, reason: ImageReason | None) -> list[str]:
    """Return what the page says below an image: the parts of its score with the boxes that decided.

    Args:
        score: of the image in result.tsv.
        reason: None: there is none on record.
    """
    if reason is None:
        return []
    lines = []
    if abs(reason.score - score) > _MOVED:
        lines.append(f"scored {reason.score:.6f} by itself, and moved behind a better image that it resembles")
    if reason.parts is not None:
        return [*lines, *_gain_lines(reason.parts, reason.boxes)]
    if not reason.facts:
        return [*lines, "no box was predicted"]
    lines += [_augmentation(name, value, reason.boxes) for name, value in reason.facts]
    if not any(box.augmentation for box in reason.boxes):
        lines += [f"{_probabilities(box)}: {box.value:.3f}" for box in reason.boxes[:_BOXES_LISTED]]
    return lines


def _gain_lines(parts: GainParts, boxes: Sequence[BoxReason]) -> Iterator[str]:
    if parts.nothing_found:
        yield "nothing found: placed by what is most probable below the threshold"
    if boxes:
        doubtful = ", ".join(f"{named_box(box)} ({box.value:.2f} bits)" for box in boxes[:_BOXES_LISTED])
        yield f"in doubt: {doubtful}"
    yield from map(_class_gain, parts.classes[:_CLASSES_LISTED])
    others = parts.classes[_CLASSES_LISTED:]
    if others:
        yield f"{_more_classes(len(others))} +{sum(part.gain for part in others):.3f}"
    if parts.novelty is not None:
        resembled = f", resembles most {parts.resembles}" if parts.resembles and not parts.is_unlike else ""
        yield f"gain {parts.gain:.3f} x novelty {parts.novelty:.2f}{resembled}"


def _class_gain(part: ClassGain) -> str:
    rare = ", rare" if part.is_rare else ""
    return (
        f"{part.class_name} +{part.gain:.3f}: sum of probabilities {part.evidence:.2f}, weight {part.weight:.2f},"
        f" {part.before:.1f} images before{rare}"
    )


def _augmentation(name: str, value: float, boxes: Sequence[BoxReason]) -> str:
    """Return a part of a score, with the pair of boxes that decided under the augmentation of this name, if any."""
    pairs = ((box, match) for box, match in zip(boxes, boxes[1:]) if match.augmentation == name)
    pair = next(pairs, None)
    if pair is None:
        return f"{name} {value:.3f}"
    box, match = pair
    return f"{name} {value:.3f}: {named_box(box)}, then {named_box(match)}, IoU {match.value:.2f}"


def named_box(box: BoxReason) -> str:
    """Return class and score of a box."""
    return f"{box.class_name} {box.score:.2f}"


def _probabilities(box: BoxReason) -> str:
    return ", ".join(f"{name} {prob:.2f}" for name, prob in box.class_probs) or named_box(box)
