"""Why an image comes first, in words: for each kind of algorithm, bounded, and true of what is in the file."""

from __future__ import annotations

from typing import Sequence

import pytest

from ymir_detectron2.results.mining_explanations import BoxReason, ClassGain, GainParts, ImageReason
from ymir_detectron2.results.reason_words import reason_in_brief, reason_lines


def box(class_name: str, score: float, value: float = 0.9, **more: object) -> BoxReason:
    return BoxReason(xyxy=(10, 20, 50, 60), class_name=class_name, score=score, value=value, **more)


def why(
    facts: Sequence[tuple[str, float]] = (), boxes: Sequence[BoxReason] = (), parts: GainParts | None = None
) -> ImageReason:
    return ImageReason(asset="/in/assets/a.jpg", score=0.5, facts=list(facts), boxes=list(boxes), parts=parts)


def gain(class_name: str, gain: float, is_rare: bool = False) -> ClassGain:
    return ClassGain(class_name=class_name, evidence=0.83, weight=1.5, before=12.0, gain=gain, is_rare=is_rare)


def parts(*classes: ClassGain, nothing_found: bool = False, **novelty: object) -> GainParts:
    gain = sum(one.gain for one in classes)
    return GainParts(gain=gain, nothing_found=nothing_found, classes=list(classes), **novelty)


SPURS = [box("spur", 0.41), box("spur", 0.55), box("open", 0.3)]


@pytest.mark.parametrize(
    ("novelty", "words"),
    [
        ({"is_unlike": True, "resembles": "b.jpg"}, "unlike those before"),
        ({"is_alike": True, "resembles": "b.jpg"}, "resembles b.jpg"),
        ({"is_alike": True}, "resembles a labelled image"),
        ({"resembles": "b.jpg"}, None),
        ({"novelty": None}, None),
    ],
)
def test_an_image_chosen_for_its_gain(novelty: dict[str, object], words: str | None):
    of_image = parts(gain("spur", 0.4), gain("open", 0.3, is_rare=True), **{"novelty": 0.4, **novelty})
    brief = reason_in_brief(why(boxes=SPURS, parts=of_image))
    expected = ["2 x spur 0.41, 0.55", "1 x open 0.30", "rare class open", *([words] if words else [])]
    assert brief == "; ".join(expected)


def test_an_image_that_was_not_predicted_again_has_its_classes():
    of_image = parts(gain("spur", 0.4), gain("open", 0.3))
    assert reason_in_brief(why(parts=of_image)) == "spur +0.4, open +0.3"


def test_an_image_in_which_nothing_is_found_says_so_and_what_it_may_be():
    of_image = parts(gain("open", 0.1, is_rare=True), nothing_found=True)
    assert reason_in_brief(why(parts=of_image)) == "nothing found; open +0.1"
    brief = reason_in_brief(why(boxes=[box("open", 0.12)], parts=of_image))
    assert brief == "nothing found; below the threshold: 1 x open 0.12"
    assert reason_in_brief(why(parts=parts(nothing_found=True))) == "nothing found"
    assert reason_in_brief(why()) == "nothing found"


def test_boxes_are_counted_by_class_and_the_text_is_bounded():
    boxes = [box("c" * 999, 0.5)] * 4 + [box(f"class {n}", 0.25) for n in range(9)]
    brief = reason_in_brief(why([("entropy of all boxes, bits", 9.0)], boxes))
    assert brief == f"4 x {'c' * 21}... 0.50, 0.50, ...; 1 x class 0 0.25; 8 more classes"


def test_cald_names_the_augmentation_under_which_the_boxes_change_most_and_its_legacy_the_one_that_adds_most():
    facts = [("flip", 0.5), ("cutout", 0.02), ("rotate", 0.3)]
    boxes = [box("cat", 0.8), box("dog", 0.3, 0.71, augmentation="cutout"), box("cat", 0.7)]
    cald = why(facts, boxes).model_copy(update={"score": -0.2})
    assert reason_in_brief(cald) == "cutout 0.020: cat 0.80, then dog 0.30, IoU 0.71"
    assert reason_in_brief(why(facts, boxes)) == "flip 0.500"


def test_aldd_goes_by_maps():
    facts = [("class cat", 0.5), ("class dog", 0.25), ("pyramid level 3", 0.1)]
    assert reason_in_brief(why(facts)) == "class cat 0.500, class dog 0.250"


def test_the_lines_below_an_image_hold_every_part_of_its_gain():
    of_image = parts(gain("spur", 0.4), gain("open", 0.25, is_rare=True), novelty=0.8, resembles="b.jpg")
    assert reason_lines(0.5, why(boxes=SPURS, parts=of_image)) == [
        "in doubt: spur 0.41 (0.90 bits), spur 0.55 (0.90 bits), open 0.30 (0.90 bits)",
        "spur +0.400: sum of probabilities 0.83, weight 1.50, 12.0 images before",
        "open +0.250: sum of probabilities 0.83, weight 1.50, 12.0 images before, rare",
        "gain 0.650 x novelty 0.80, resembles most b.jpg",
    ]
    unlike = parts(gain("spur", 0.4), novelty=1.0, is_unlike=True, resembles="b.jpg")
    assert reason_lines(0.5, why(parts=unlike))[-1] == "gain 0.400 x novelty 1.00"
    of_many = parts(*(gain(f"class {number}", 0.25) for number in range(5)))
    assert reason_lines(0.5, why(parts=of_many))[3] == "2 more classes +0.500"
    nothing = reason_lines(0.5, why(parts=parts(gain("open", 0.1), nothing_found=True)))
    assert nothing[0] == "nothing found: placed by what is most probable below the threshold"


def test_the_lines_of_other_algorithms():
    assert reason_lines(-0.5, None) == []
    assert reason_lines(0.5, why()) == ["no box was predicted"]
    moved = "scored 0.500000 by itself, and moved behind a better image that it resembles"
    assert reason_lines(0.1, why([("flip", 0.1)], [box("cat", 0.8)]))[0] == moved
    class_probs = [("cat", 0.5), ("dog", 0.4)]
    entropy = why([("entropy of all boxes, bits", 0.5)], [box("cat", 0.5, 1.5, class_probs=class_probs)] * 9)
    assert reason_lines(0.5, entropy) == ["entropy of all boxes, bits 0.500", *["cat 0.50, dog 0.40: 1.500"] * 3]
