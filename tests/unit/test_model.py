"""The whole network, small: preprocessing, dense outputs, losses, boxes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.running import PROJECT_DIR
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.dataset import coco_json
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.boxes import IGNORED, pairwise_iou
from ymir_detectron2.retinanet.model import build_retinanet

TINY = {
    "MODEL.RESNETS.DEPTH": 18,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
    "MODEL.FPN.OUT_CHANNELS": 32,
    "MODEL.RETINANET.NUM_CONVS": 1,
}
NO_BOXES = torch.zeros(0, 4)
NO_CLASSES = torch.zeros(0, dtype=torch.int64)


def config(**changes) -> RetinaNetConfig:
    base = load_config(PROJECT_DIR / "configs" / "Base-RetinaNet.yaml").merged(TINY, "tiny")
    return base.merged({key.replace("__", "."): value for key, value in changes.items()}, "test")


def build(num_classes=2, **changes):
    torch.manual_seed(0)
    return build_retinanet(config(**changes), num_classes)


def grey(height, width, value=128):
    return torch.full((3, height, width), value, dtype=torch.uint8)


def test_preprocessing_normalises_and_pads_with_zeros_to_a_multiple_of_32():
    model = build(MODEL__PIXEL_MEAN=[100.0, 110.0, 120.0], MODEL__PIXEL_STD=[2.0, 1.0, 1.0])
    batch, sizes = model.preprocess([grey(20, 40), grey(33, 10)])
    assert batch.shape == (2, 3, 64, 64)
    assert sizes == [(20, 40), (33, 10)]
    assert batch[0, :, 0, 0].tolist() == [14.0, 18.0, 8.0]  # (128 - 100) / 2, 128 - 110, 128 - 120
    assert batch[0, :, 20:].abs().sum() == batch[0, :, :, 40:].abs().sum() == 0


def test_every_anchor_gets_logits_offsets_and_a_place():
    dense = build(num_classes=5).eval()(torch.zeros(2, 3, 64, 96))
    cells = [8 * 12, 4 * 6, 2 * 3, 1 * 2, 1 * 1]  # strides 8 to 128, rounded up
    assert [level.shape for level in dense.logits] == [(2, 9 * count, 5) for count in cells]
    assert [level.shape for level in dense.deltas] == [(2, 9 * count, 4) for count in cells]
    assert [level.shape for level in dense.anchors] == [(9 * count, 4) for count in cells]


def test_an_image_without_objects_trains_as_background():
    model = build()
    losses = model.losses(model(torch.randn(1, 3, 64, 64)), [NO_BOXES], [NO_CLASSES])
    assert losses["loss_cls"].item() > 0
    assert losses["loss_box_reg"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_anchors_of_an_ignored_box_are_left_out_of_the_losses():
    """An anchor matched with it, with an IoU of 0.4 or more, has no gradient; all others have that of background."""
    assert coco_json.IGNORED == IGNORED
    model = build()
    batch, _ = model.preprocess([grey(64, 64)])
    dense = model.predict(model.features(batch))
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    gradients = {}
    for name, boxes, classes in (("none", torch.zeros(0, 4), []), ("ignored", box, [IGNORED]), ("object", box, [1])):
        logits = [level.detach().requires_grad_() for level in dense.logits]
        sums, positives = model.loss_sums(dense._replace(logits=logits), [boxes], [torch.tensor(classes).long()])
        sums["loss_cls"].backward()
        gradients[name] = torch.cat([level.grad[0] for level in logits])  # (R, K)
        assert bool(positives > 0) == (name == "object")
        assert float(sums["loss_box_reg"].detach()) == 0 or name == "object"
    iou = pairwise_iou(box, torch.cat(dense.anchors))[0]
    is_matched = iou >= min(0.4, float(iou.max()))
    assert is_matched.any()
    assert not gradients["ignored"][is_matched].any()
    torch.testing.assert_close(gradients["ignored"][~is_matched], gradients["none"][~is_matched])
    assert gradients["object"][iou >= 0.5].all()


def test_the_normaliser_is_a_running_mean_of_positive_anchors():
    model = build()
    dense = model(torch.randn(1, 3, 64, 64))
    model.losses(dense, [NO_BOXES], [NO_CLASSES])
    assert model.loss_normalizer == pytest.approx(100 * 0.9 + 1 * 0.1)  # no positive anchor counts as one
    model.losses(dense, [NO_BOXES], [NO_CLASSES])
    assert model.loss_normalizer == pytest.approx(90.1 * 0.9 + 1 * 0.1)


def test_losses_are_float32_under_autocast():
    model = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        dense = model(torch.randn(1, 3, 64, 64))
        losses = model.losses(dense, [torch.tensor([[5.0, 5.0, 40.0, 40.0]])], [torch.tensor([1])])
    assert dense.logits[0].dtype == torch.bfloat16
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_model_cast_to_bfloat16_keeps_pixels_and_anchors_exact():
    plain, cast = build(), build().to(torch.bfloat16)
    assert torch.equal(cast.preprocess([grey(64, 64)])[0], plain.preprocess([grey(64, 64)])[0])
    grids = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
    for a, b in zip(plain.anchor_generator(grids, plain.device), cast.anchor_generator(grids, cast.device)):
        assert torch.equal(a, b)


def test_training_works_after_inference_mode_has_cached_the_anchors():
    model = build(MODEL__RETINANET__BBOX_REG_LOSS_TYPE="giou")
    batch, _ = model.preprocess([grey(64, 64)])
    with torch.inference_mode():
        model.decode(model(batch), [(64, 64)])
    losses = model.losses(model(batch), [torch.tensor([[5.0, 5.0, 40.0, 40.0]])], [torch.tensor([1])])
    sum(losses.values()).backward()


def test_channels_last_gives_the_same_numbers():
    model = build().eval()
    batch = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(batch)
        turned = model.to(memory_format=torch.channels_last)(batch.contiguous(memory_format=torch.channels_last))
    for a, b in zip([*plain.logits, *plain.deltas], [*turned.logits, *turned.deltas]):
        assert torch.allclose(a, b, atol=1e-4)


def test_boxes_are_decoded_by_the_configuration_with_another_threshold_on_request():
    everything = {"MODEL__RETINANET__NMS_THRESH_TEST": 1.0, "TEST__DETECTIONS_PER_IMAGE": 10**6}
    model = build(MODEL__RETINANET__PRIOR_PROB=0.3, MODEL__RETINANET__SCORE_THRESH_TEST=0.01, **everything).eval()
    dense = model(torch.randn(1, 3, 64, 64))
    assert len(model.decode(dense, [(64, 64)], score_threshold=0.99)[0].scores) == 0
    assert len(model.decode(dense, [(64, 64)])[0].scores) == 1000 + (16 + 4 + 1 + 1) * 9 * 2  # p3: the best 1000
    fewer = build(MODEL__RETINANET__PRIOR_PROB=0.3, TEST__DETECTIONS_PER_IMAGE=3).eval()
    assert len(fewer.decode(dense, [(64, 64)])[0].scores) == 3


@pytest.mark.parametrize("norm", ["", "FrozenBN", "BN", "SyncBN", "GN"])
def test_every_norm_trains_and_infers_on_the_cpu_in_one_process(norm):
    norms = {"MODEL__RESNETS__NORM": norm, "MODEL__FPN__NORM": norm, "MODEL__RETINANET__NORM": norm}
    model = build(**norms, MODEL__FPN__OUT_CHANNELS=64)  # so that a group of GN has two channels
    losses = model.losses(model(torch.randn(2, 3, 128, 128)), [NO_BOXES] * 2, [NO_CLASSES] * 2)  # p7 is 1 x 1
    sum(losses.values()).backward()
    with torch.no_grad():
        assert torch.isfinite(model.eval()(torch.randn(1, 3, 64, 64)).logits[0]).all()


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"MODEL__RETINANET__IN_FEATURES": ["p2", "p3"]}, "MODEL.RETINANET.IN_FEATURES names 'p2'"),
        ({"MODEL__FPN__IN_FEATURES": ["res3", "res5"]}, "twice the stride"),
        ({"MODEL__RETINANET__NORM": "GN", "MODEL__FPN__OUT_CHANNELS": 48}, "multiple of 32"),
        ({"MODEL__META_ARCHITECTURE": "GeneralizedRCNN"}, "engine: detectron2"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_a_sentence(changes, finding):
    with pytest.raises(ConfigError, match=finding):
        build(**changes)


def test_a_detector_needs_a_class():
    with pytest.raises(ConfigError, match="at least one class"):
        build(num_classes=0)


_PROCESS = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, {root!r})
from tests.unit import test_model as shared
torch.set_num_threads(1)
rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
model = shared.build()
gradient = shared.gradient_of(model, [rank])
dist.all_reduce(gradient)
torch.save((gradient / 2, model.loss_normalizer), out)
dist.destroy_process_group()
"""


def gradient_of(model, images):
    """The gradient of all parameters in one vector, for some of two images, one of which has no object."""
    torch.manual_seed(1)
    batch = torch.randn(2, 3, 64, 64)[images]
    boxes = [torch.tensor([[5.0, 5.0, 60.0, 50.0]]), NO_BOXES]
    classes = [torch.tensor([1]), NO_CLASSES]
    losses = model.losses(model(batch), [boxes[i] for i in images], [classes[i] for i in images])
    sum(losses.values()).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.slow
def test_two_processes_average_to_the_gradient_of_one_with_the_whole_batch(tmp_path):
    code = _PROCESS.format(root=str(PROJECT_DIR))
    outs = [tmp_path / "0.pt", tmp_path / "1.pt"]
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), str(tmp_path / "store"), str(out)])
        for rank, out in enumerate(outs)
    ]
    alone = build()
    expected = gradient_of(alone, [0, 1])
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    for out in outs:
        gradient, normalizer = torch.load(out)
        assert normalizer == pytest.approx(alone.loss_normalizer)
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-6)
