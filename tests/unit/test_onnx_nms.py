"""Selection of boxes as the exported graph does it, with torch in place of the ONNX operator."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from ymir_detectron2.export.onnx_nms import select_boxes
from ymir_detectron2.retinanet.decoding import PostprocessConfig

POSTPROCESS = PostprocessConfig(score_threshold=0.3, nms_threshold=0.5, max_candidates=100, max_detections=10)


def select(boxes: list, scores: list[float], classes: list[int], **changes: float) -> list[int]:
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor(classes, dtype=torch.int64)
    return select_boxes(corners, torch.tensor(scores), labels, 3, POSTPROCESS._replace(**changes)).tolist()


BOX, SHIFTED, APART = [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("boxes", "scores", "classes", "rows"),
    [
        pytest.param([], [], [], [], id="nothing"),
        pytest.param([BOX], [0.9], [2], [0], id="one"),
        pytest.param([BOX], [0.3], [0], [], id="at the threshold"),
        pytest.param([BOX, SHIFTED], [0.5, 0.9], [0, 0], [1], id="the weaker of two of one class goes"),
        pytest.param([BOX, SHIFTED], [0.5, 0.9], [0, 1], [1, 0], id="two classes stay, best first"),
        pytest.param([BOX, APART], [0.5, 0.9], [1, 1], [1, 0], id="two places stay, best first"),
    ],
)
def test_rows_to_keep(boxes: list, scores: list[float], classes: list[int], rows: list[int]):
    assert select(boxes, scores, classes) == rows


def test_at_most_so_many_over_all_classes():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(4)]
    assert select(boxes, [0.6, 0.9, 0.7, 0.8], [0, 1, 2, 0], max_detections=3) == [1, 3, 2]


def test_the_same_boxes_as_the_decoding_of_the_engine():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + 5 + torch.rand(200, 2, generator=generator) * 20], dim=1)
    scores, classes = torch.rand(200, generator=generator), torch.randint(0, 3, (200,), generator=generator)
    above = torch.nonzero(scores > POSTPROCESS.score_threshold)[:, 0]
    expected = above[batched_nms(boxes[above], scores[above], classes[above], POSTPROCESS.nms_threshold)]
    limit = POSTPROCESS._replace(max_detections=1000)
    assert select_boxes(boxes, scores, classes, 3, limit).tolist() == expected.tolist()
    assert len(expected) > 50
