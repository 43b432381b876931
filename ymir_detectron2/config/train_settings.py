"""The keys of config.yaml for training; those that all tasks share are in `common_settings.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Union

from .common_settings import CommonSettings
from .image_sizes import SHORT_EDGE, TILE_SIDE, require_overlap
from .setting import BATCH, ZERO_OR_MORE, Limit, from_0_to, setting, split_words

AUGMENTATIONS = ("vertical_flip", "colour_jitter", "light_jitter", "scale_jitter", "random_crop", "mosaic")
OPSETS = (11, 20)
"""Oldest and newest opset that torch's exporter and the graph agree on."""


def parse_size(text: str) -> tuple[int, ...]:
    """Return height and width in pixels from e.g. "800x1344" or "800 X 1344"; () for anything else, zero included."""
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*[xX]\s*([0-9]{1,5})\s*", text)
    size = tuple(map(int, match.groups())) if match else ()
    return () if 0 in size else size


@dataclass(frozen=True)
class TrainSettings(CommonSettings):
    """Keys of training-template.yaml, and those that can be added to it by name."""

    # no choices: the platform checks it, and annotations are recognised by their content
    export_format: str = setting("ark:raw", resumable=True, in_form=True)
    """Format in which the platform writes the annotations of the task; only the platform reads this key.

    Advice: Leave it at `ark:raw`, which every release of YMIR writes.

    说明：平台为任务导出标注的格式；该参数只由平台读取。

    建议：保持 `ark:raw`，YMIR 各版本均支持。
    """
    config_file: str = setting(
        "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml", resumable=True, in_form=True, is_path=True
    )
    """Network and schedule (of a chosen model only the schedule): a YAML file in detectron2's form, of this project, of
    detectron2, or by absolute path.

    Advice: `configs/COCO-Detection/retinanet_R_101_FPN_3x.yaml` for a higher AP (40.4 against 37.4 on COCO) at 1.4
    times the training time; `configs/CPU/retinanet_R_18_FPN_small.yaml` without a GPU.

    说明：网络结构与训练策略的配置文件（选择了预训练模型时只取训练策略）：detectron2 格式的 YAML，可为本项目自
    带、detectron2 自带，或绝对路径。

    建议：追求精度可选 `configs/COCO-Detection/retinanet_R_101_FPN_3x.yaml`（COCO 上 AP 40.4，默认为 37.4），训练时间约
    为 1.4 倍；没有 GPU 时选 `configs/CPU/retinanet_R_18_FPN_small.yaml`。
    """
    # if_absent: the form shows a default, but for a field that a user empties, `config_file` decides
    batch_size: int = setting(2, if_absent=0, limit=BATCH, resumable=True, in_form=True)
    """Images per step, over all GPUs together; missing or 0: as `config_file` specifies.

    Advice: As many as the memory of the GPUs holds: 8 or 16 give steadier steps than 2 (two images of R50 at 800 pixels
    took 4.1 GB as published). Change `learning_rate` in the same proportion.

    说明：每步训练的图像数，为所有 GPU 之和；留空或 0 表示采用 `config_file` 中的值。

    建议：在显存允许的范围内尽量大：8 或 16 比 2 更稳定（官方数据：R50、短边 800 像素、2 张图像占用 4.1
    GB）；`learning_rate` 按相同比例调整。
    """
    max_iter: int = setting(90000, if_absent=0, limit=ZERO_OR_MORE, resumable=True, in_form=True)
    """Steps, to which the schedule of `config_file` is scaled; missing or 0: as `config_file` specifies.

    Advice: 90000 is for sets as large as COCO (118,000 images): 90000 steps of 2 images go through 1,000 images 180
    times. For a smaller set give `max_epochs` instead.

    说明：最大训练步数，`config_file` 中的训练策略按此等比缩放；留空或 0 表示采用 `config_file` 中的值。

    建议：90000 适合 COCO 规模（11.8 万张）的数据集；若只有 1000 张图像，每步 2 张时相当于 180 轮。数据集较小时请改用
    `max_epochs`。
    """
    max_epochs: float = setting(0.0, limit=from_0_to(1_000_000), resumable=True, in_form=True)
    """Epochs; when given, it takes precedence over `max_iter`.

    Advice: 30 to 50 for some hundreds or thousands of images, 12 for 50,000 and more; train longer if AP on the
    validation set still rises at the end.

    说明：训练轮数；设置后优先于 `max_iter`。

    建议：几百到几千张图像取 30 至 50，5 万张以上取 12；若训练结束时验证集 AP 仍在上升，则继续增加。
    """
    learning_rate: float = setting(0.001, if_absent=0.0, limit=ZERO_OR_MORE, resumable=True, in_form=True)
    """Peak learning rate of SGD; missing or 0: that of `config_file`, in proportion to `batch_size`.

    Advice: 0.001 suits `batch_size` 2, 0.005 suits 8 and 0.01 suits 16; an empty field does this by itself. A third of
    it where the loss diverges or becomes NaN (300201).

    说明：SGD 的最大学习率；留空或 0 表示采用 `config_file` 中的值，并随 `batch_size` 等比缩放。

    建议：`batch_size` 为 2 时取 0.001，为 8 时取 0.005，为 16 时取 0.01；留空则自动换算。损失发散或出现 NaN（300201）时
    降到三分之一。
    """
    image_size: int = setting(0, limit=SHORT_EDGE, resumable=True, in_form=True)
    """Short edge, in pixels, at which images are shown to the network in training and inference; smaller training sizes
    and the limits of the longer edge keep their proportions. 0: as in the chosen model, else as `config_file`
    specifies.

    Advice: 400 to 640 where objects are large: half the size takes a quarter of the time and memory. 1000 and more
    where many objects are smaller than 16 pixels at 800.

    说明：训练和推理时送入网络的图像短边（像素）；较小的训练尺寸和长边上限按比例缩放；0 表示沿用所选模型，未选模型时采
    用 `config_file` 中的值。

    建议：目标较大时取 400 至 640，尺寸减半，时间和显存约降为四分之一；若短边 800 时许多目标小于 16 像素，取 1000 以上。
    """
    class_weights: str = setting("", engines=("torch",), in_form=True, may_be_file=True)
    """Weights of the classes in the loss, e.g. `cat:2,dog:0.5`, or `auto`: rare classes more; empty: all 1.

    Advice: `auto` where rare classes matter as much as common ones: on BCCD it raised AP50 from 0.60 to 0.70. `@FILE`
    where 100 characters are too few.

    说明：损失函数中各类别的权重，例如 `cat:2,dog:0.5`，或 `auto`（稀有类别权重更大）；留空表示均为 1。

    建议：稀有类别与常见类别同样重要时用 `auto`（BCCD 上 AP50 由 0.60 升至 0.70）；超过 100 个字符时写 `@文件`。
    """
    pretrained: str = setting("", choices=("coco", "imagenet", "none"))
    """Weights from which fine-tuning starts, `none` for random ones; empty: the best published for the network.

    Advice: Leave it empty. `imagenet` for comparisons with papers; `none` needs tens of thousands of images.

    说明：微调的起始权重，`none` 表示随机初始化；留空表示该网络已公开的最佳权重。

    建议：留空。与论文对比时用 `imagenet`；`none` 需要数万张图像才有意义。
    """
    eval_period: int = setting(0, limit=ZERO_OR_MORE, resumable=True)
    """Steps between two evaluations, each of which makes one stage; 0 means a tenth of `max_iter`.

    Advice: Smaller for an earlier first result and more stages to choose from; larger where an evaluation of a large
    validation set takes minutes.

    说明：两次评估之间的步数，每次评估产生一个 stage；0 表示 `max_iter` 的十分之一。

    建议：希望更早看到结果、有更多 stage 可选时调小；验证集很大、一次评估需数分钟时调大。
    """
    best_metric: str = setting("map50", choices=("map50", "map", "map75", "mar"))
    """Metric for model selection (the best stage) and early stopping.

    Advice: `map` or `map75` where boxes have to fit tightly; `mar` where a missed object is worse than a false alarm.

    说明：选择最佳 stage 和早停所依据的指标。

    建议：要求框贴合紧密时用 `map` 或 `map75`；漏检比误检更严重时用 `mar`。
    """
    patience: int = setting(0, limit=ZERO_OR_MORE, resumable=True)
    """Early stopping: after so many evaluations in which `best_metric` has not risen by 0.005 (mean of three), the
    learning rate goes through its decays at once, and the training ends; 0 = off.

    Advice: 5 to 10. It needs evaluations that are close together: leave `eval_period` at 0, or several epochs.

    说明：早停：连续这么多次评估中 `best_metric`（三次平均）没有提高 0.005，学习率即提前依次下降，随后结束训练；0 表示关
    闭。

    建议：取 5 至 10。评估需要足够密集：`eval_period` 保持 0，或设为若干轮。
    """
    max_hours: float = setting(0.0, limit=from_0_to(10_000), resumable=True)
    """Hours that the whole task may take, all its starts together: the learning rate schedule is fitted to them, and
    the last evaluation, export and page are over in time; 0 = no limit.

    Advice: The hours that a machine is yours. `max_iter`, `max_epochs` and `patience` may end the training earlier.

    说明：整个任务（含所有重启）可用的小时数：学习率策略按此缩放，最后的评估、导出和结果页面都会按时完成；0 表示不限。

    建议：填写机器可用的小时数；`max_iter`、`max_epochs` 和 `patience` 可能使训练更早结束。
    """
    ema: float = setting(0.0, limit=Limit("0 or a decay below 1, such as 0.999", lambda decay: 0 < decay < 1))
    """EMA decay of the weights, e.g. 0.999; evaluated alongside the raw weights; 0 = off.

    Advice: 0.999 for trainings of some thousand steps with a small `batch_size`; evaluations take twice as long.

    说明：权重的指数滑动平均（EMA）衰减系数，例如 0.999；评估时与原始权重一起比较；0 表示关闭。

    建议：`batch_size` 较小、训练数千步时可用 0.999；评估时间加倍。
    """
    accumulate: int = setting(0, limit=BATCH, resumable=True, engines=("torch",))
    """Gradient accumulation: micro-batches per batch, to save memory; 0: only where memory runs out.

    Advice: 2 or 4 where `batch_size` does not fit into the memory of several GPUs; with one GPU it begins by itself.

    说明：梯度累积：每个批次拆成的小批次数，用于节省显存；0 表示仅在显存不足时启用。

    建议：多 GPU 放不下 `batch_size` 时取 2 或 4；单 GPU 会自动启用。
    """
    repeat_factor: float = setting(0.0, limit=ZERO_OR_MORE)
    """Repeat factor sampling (LVIS): oversample classes in less than this share of the images, e.g. 0.1; 0 = off.

    Advice: 0.1 where some classes are in less than a tenth of the images; for classes that are in many images with few
    boxes, `class_weights`.

    说明：重复因子采样（LVIS）：对出现图像比例低于该值的类别进行过采样，例如 0.1；0 表示关闭。

    建议：某些类别只出现在不到十分之一的图像中时取 0.1；类别常见但框很少时用 `class_weights`。
    """
    empty_share: float = setting(0.0, limit=from_0_to(1), engines=("torch",))
    """Largest share of the images drawn in training that show no object, e.g. 0.5: the others of them wait for a later
    epoch; 0: as in the set.

    Advice: 0.5 where most images show nothing, as in inspection: else most steps learn nothing but background.

    说明：训练中抽取的无目标图像所占的最大比例，例如 0.5，其余的留到以后的轮次；0 表示与数据集一致。

    建议：多数图像没有目标时（例如质检）取 0.5，否则大部分训练步数只学到背景。
    """
    augment: str = setting("", choices=AUGMENTATIONS, several=True, engines=("torch",))
    """Data augmentation besides the flip and resize of `config_file`, or of a chosen model; empty: none.

    Advice: `vertical_flip` where images have no up and down (aerial, microscope), `light_jitter` where light changes a
    little, `colour_jitter` where it changes much; `mosaic` and `scale_jitter` make small objects smaller and need
    longer trainings.

    说明：除 `config_file`（或所选模型）的翻转和缩放之外的数据增强；留空表示不增加。

    建议：图像无上下之分（航拍、显微）时用 `vertical_flip`，光照略有变化时用 `light_jitter`，变化较大时用
    `colour_jitter`；`mosaic` 和 `scale_jitter` 会使小目标更小，需要更长的训练。
    """
    anchors: str = setting("", choices=("auto",))
    """Fit anchor sizes and aspect ratios to the training boxes; empty: as `config_file` specifies.

    Advice: `auto` where the log warns that more than 5 % of the training boxes fit no anchor; not with a chosen model.

    说明：使锚框的尺寸和长宽比适应训练集的标注框；留空表示采用 `config_file` 中的值。

    建议：日志警告超过 5 % 的标注框没有匹配的锚框时用 `auto`；选择了预训练模型时不起作用。
    """
    # resumable: what comes of both is compared, as part of the fingerprint
    tile_size: Union[int, str] = setting(
        0, words=("auto", "none"), limit=TILE_SIDE, resumable=True, engines=("torch",)
    )
    """For small objects in large images: side in pixels of the tiles that a larger image is cut into, in training,
    evaluation, mining and inference; `auto` chooses it by the training boxes. 0: as in the chosen model, without one no
    tiles; `none`: no tiles.

    Advice: `auto` where the log warns that training boxes are below 8 px at the size of the network; a number where the
    objects of interest are the smallest ones. Evaluation, mining and inference take one forward pass for each tile.

    说明：用于大图像中的小目标：在训练、评估、挖掘和推理中都把较大的图像切成该边长（像素）的图块；`auto` 根据训练集的标
    注框选择。0 表示与所选模型相同，未选模型时不切分；`none` 表示不切分。

    建议：日志警告标注框在网络输入尺寸下小于 8 像素时用 `auto`；最关心最小的目标时直接写数值。评估、挖掘和推理时每个图块
    需要一次前向计算。
    """
    tile_overlap: int = setting(0, limit=ZERO_OR_MORE, resumable=True, engines=("torch",))
    """Pixels that neighbouring tiles share, together with `tile_size`; 0: a fifth of it.

    Advice: Leave it at 0; the size of the largest objects where these are cut at the borders of tiles.

    说明：相邻图块重叠的像素数，与 `tile_size` 一起使用；0 表示其五分之一。

    建议：保持 0；目标在图块边缘被截断时，设为最大目标的尺寸。
    """
    # what follows the training changes nothing in it
    label_review: str = setting("", choices=("skip",), resumable=True)
    """After the training, list the labels that the model contradicts in `label-review.tsv`, for at most a tenth of the
    time of its steps; `skip`: do not.

    Advice: Leave it empty; `skip` for experiments of many trainings on labels that are known to be right.

    说明：训练结束后，把与模型预测相矛盾的标注列入 `label-review.tsv`，耗时不超过训练步骤的十分之一；`skip` 表示不做。

    建议：留空；在标注确认无误、需要大量训练的实验中设为 `skip`。
    """
    export: str = setting("", choices=("onnx",), resumable=True)
    """Export the best stage to this format too, with decoding and NMS; empty: no export.

    Advice: `onnx` for programs without torch, e.g. with onnxruntime.

    说明：训练结束后把最佳 stage 另外导出为该格式，包含解码和 NMS；留空表示不导出。

    建议：需要在没有 torch 的程序（例如 onnxruntime）中使用时设为 `onnx`。
    """
    export_opset: int = setting(
        0, resumable=True,
        limit=Limit(f"from {OPSETS[0]} to {OPSETS[1]}, or 0", lambda opset: OPSETS[0] <= opset <= OPSETS[1]),
    )  # fmt: skip
    """Opset of the ONNX model, 11 to 20; 0: the one that is tested: 17, or 13 with torch 1.10.

    Advice: Leave it at 0; a lower one where the runtime refuses the model.

    说明：ONNX 模型的 opset，11 至 20；0 表示经过测试的版本：17，torch 1.10 为 13。

    建议：保持 0；推理框架不支持时再降低。
    """
    export_size: str = setting(
        "", resumable=True, limit=Limit("height and width, such as 800x1344", lambda text: parse_size(text) != ())
    )
    """Input height and width of the ONNX model, e.g. `800x1344`, 9 million pixels at most; empty: as in inference.

    Advice: The proportions of your images, e.g. `800x1088` for 3:4, so that no time is spent on padding.

    说明：ONNX 模型输入的高和宽，例如 `800x1344`，最多 900 万像素；留空表示与推理相同。

    建议：按图像的长宽比设置，例如 3:4 的图像用 `800x1088`，避免在填充上浪费时间。
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tile_size != "auto":  # else when it is chosen
            require_overlap(self.tile_size if isinstance(self.tile_size, int) else 0, self.tile_overlap)

    @property
    def export_hw(self) -> tuple[int, ...]:
        """Height and width of the exported model's input; () where the configuration decides."""
        return parse_size(self.export_size)

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in `augment`."""
        return tuple(split_words(self.augment))
