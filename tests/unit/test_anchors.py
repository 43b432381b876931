"""Anchors of cells and grids."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.anchors import CACHED_GRIDS, AnchorGenerator, cell_anchors, grid_anchors

CPU = torch.device("cpu")


def test_a_cell_anchor_has_the_area_of_its_size_and_the_ratio_height_to_width():
    square, tall = cell_anchors([8], [1.0, 4.0]).tolist()
    assert square == [-4, -4, 4, 4]
    assert tall == [-2, -8, 2, 8]  # 4 x 16: area 8 * 8, ratio 4


def test_ratios_run_faster_than_sizes():
    widths = [round(box[2] - box[0], 3) for box in cell_anchors([8, 16], [1.0, 4.0]).tolist()]
    assert widths == [8, 4, 16, 8]


def test_a_grid_repeats_the_cell_row_by_row():
    anchors = grid_anchors(torch.tensor([[-1.0, -1.0, 1.0, 1.0]]), (2, 3), stride=8, offset=0.0)
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2).tolist()
    assert centres == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]


def test_an_offset_of_one_half_puts_the_first_centre_in_the_middle_of_the_cell():
    anchors = grid_anchors(torch.tensor([[-1.0, -1.0, 1.0, 1.0]]), (1, 2), stride=8, offset=0.5)
    assert anchors.tolist() == [[3, 3, 5, 5], [11, 3, 13, 5]]


def test_one_list_of_ratios_serves_every_level():
    generator = AnchorGenerator([[8], [16]], [[1.0, 2.0]], strides=[8, 16], offset=0.0)
    fine, coarse = generator([(2, 2), (1, 1)], CPU)
    assert (len(fine), len(coarse), generator.num_anchors) == (2 * 2 * 2, 1 * 1 * 2, 2)
    assert math.isclose(float(coarse[0, 2] - coarse[0, 0]), 16)


def test_a_flat_list_of_sizes_means_all_of_them_on_every_level():
    assert AnchorGenerator([8, 16, 32], [[1.0]], strides=[8, 16], offset=0.0).num_anchors == 3


@pytest.mark.parametrize(
    ("sizes", "ratios"),
    [
        pytest.param([[8], [16], [32]], [[1.0]], id="three lists for two levels"),
        pytest.param([[8], []], [[1.0]], id="a level without sizes"),
        pytest.param([[8], [16, 20]], [[1.0]], id="levels of different numbers"),
        pytest.param([], [[1.0]], id="nothing"),
    ],
)
def test_lists_that_do_not_fit_the_levels_are_refused(sizes, ratios):
    with pytest.raises(ConfigError, match=r"MODEL\.ANCHOR_GENERATOR"):
        AnchorGenerator(sizes, ratios, strides=[8, 16], offset=0.0)


def test_anchors_are_built_once_per_grid_and_the_store_stays_bounded():
    generator = AnchorGenerator([[8]], [[1.0]], strides=[8], offset=0.0)
    first = generator([(3, 5)], CPU)[0]
    assert generator([(3, 5)], CPU)[0] is first
    for width in range(1, 2 * CACHED_GRIDS):
        generator([(1, width)], CPU)
    assert len(generator._cache) == CACHED_GRIDS


def test_anchors_are_not_part_of_a_checkpoint():
    assert dict(AnchorGenerator([[8]], [[1.0]], strides=[8], offset=0.0).state_dict()) == {}
