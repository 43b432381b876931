"""Random numbers of a file, pinned: a change would silently reorder everybody's mining results."""

from __future__ import annotations

import pytest

from ymir_detectron2.mining.seeding import rng_for, uniform_for

PINNED_GENERATOR = 0.599829864658528
PINNED_UNIFORM = 0.17619180501331777


@pytest.mark.parametrize("name", ["a.jpg", "/in/assets/a.jpg"])
def test_numbers_depend_on_the_base_name_and_are_the_same_on_every_machine(name: str):
    assert rng_for(name, 0).random() == PINNED_GENERATOR
    assert uniform_for(name, 0) == PINNED_UNIFORM


def test_numbers_depend_on_the_seed():
    assert rng_for("a.jpg", 1).random() != PINNED_GENERATOR
    assert uniform_for("a.jpg", 1) != PINNED_UNIFORM


def test_generator_is_fresh_at_every_call():
    assert rng_for("a.jpg", 0).random() == rng_for("a.jpg", 0).random()


def test_file_names_that_are_not_utf8_have_numbers():
    assert 0 <= uniform_for("not utf-8: \udcff.jpg", 0) < 1
    rng_for("not utf-8: \udcff.jpg", 0)
