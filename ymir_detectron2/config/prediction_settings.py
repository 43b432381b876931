"""The keys of config.yaml for inference and for mining; those that all tasks share are in `common_settings.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .common_settings import CommonSettings
from .image_sizes import SHORT_EDGE, TILE_SIDE, require_overlap
from .mining_algorithms import MINING_ALGORITHMS
from .setting import BATCH, Limit, setting


@dataclass(frozen=True)
class InferSettings(CommonSettings):
    """Keys of infer-template.yaml, and those that can be added to it by name."""

    conf_threshold: float = setting(
        0.2, limit=Limit("between 0 and 1", lambda score: 0 < score < 1), in_form=True
    )
    """Confidence threshold between 0 and 1: boxes must have a higher score.

    Advice: In inference the threshold with the best F1, which the log and the page of the training name; higher where
    false alarms are worse, lower where missed objects are. In mining leave it at 0.2.

    说明：置信度阈值，0 到 1 之间：只保留得分高于该值的框。

    建议：推理时取训练日志和报告中 F1 最佳的阈值；误检更严重时调高，漏检更严重时调低。挖掘时保持 0.2。
    """
    image_size: int = setting(0, limit=SHORT_EDGE, in_form=True)
    """Short edge, in pixels, at which images are shown to the network; the limit of the longer edge and the sizes of
    test-time augmentation keep their proportions. 0: as in the training of the model.

    Advice: Leave it at 0: a model detects best at the size that it was trained at. Smaller for speed (half the size
    takes a quarter of the time), larger where objects are smaller than in the training images.

    说明：送入网络的图像短边（像素）；长边上限和测试时增强（TTA）的尺寸按比例缩放；0 表示与模型训练时相同。

    建议：保持 0，模型在训练尺寸上效果最好；追求速度时调小（尺寸减半，时间约降为四分之一），目标比训练图像中更小时调大。
    """
    batch_size: int = setting(0, limit=BATCH, in_form=True)
    """Images per forward pass; 0 chooses by the device.

    Advice: Leave it at 0 (16 on a GPU, 4 on a CPU; halved when memory runs out); 32 on a large GPU with small images.

    说明：每次前向计算的图像数；0 表示按设备自动选择。

    建议：保持 0（GPU 为 16，CPU 为 4，显存不足时自动减半）；大显存 GPU 处理小图像时可设为 32。
    """
    tile_size: Union[int, str] = setting(0, words=("none",), limit=TILE_SIDE)
    """For small objects in large images: side in pixels of the tiles that a larger image is cut into. 0: as in the
    training of the model; `none`: no tiles.

    Advice: Leave it at 0 where the model was trained with `tile_size`; else 800 or 1024 for images of several thousand
    pixels (aerial, scans) with objects of a few dozen pixels. Every tile costs a forward pass.

    说明：用于大图像中的小目标：把较大的图像切成该边长（像素）的图块；0 表示与模型训练时相同；`none` 表示不切分。

    建议：模型训练时设置了 `tile_size` 的，保持 0；否则，图像边长数千像素（航拍、扫描）而目标只有几十像素时取 800 或
    1024。每个图块需要一次前向计算。
    """
    tile_overlap: int = 0
    """Pixels that neighbouring tiles share, together with a number as `tile_size`; 0: a fifth of it.

    Advice: Leave it at 0; the size of the largest objects where these are cut at the borders of tiles.

    说明：相邻图块重叠的像素数，与数值形式的 `tile_size` 一起使用；0 表示其五分之一。

    建议：保持 0；目标在图块边缘被截断时，设为最大目标的尺寸。
    """
    compile: str = setting("auto", choices=("auto", "always", "never"))
    """torch.compile, in the torch engine; takes seconds for each shape of images: `auto` is `never`.

    Advice: `always` for thousands of images of one or two sizes: up to a fifth faster as measured on a CPU.

    说明：使用 torch.compile（仅 torch 引擎）；每种图像形状需要编译数秒：`auto` 等同于 `never`。

    建议：处理数千张、只有一两种尺寸的图像时用 `always`（CPU 上实测最多快五分之一）。
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require_overlap(self.tile_size if isinstance(self.tile_size, int) else 0, self.tile_overlap)


@dataclass(frozen=True)
class MiningSettings(InferSettings):
    """Keys of mining-template.yaml, and those that can be added to it by name."""

    mining_algorithm: str = setting("cald", choices=tuple(MINING_ALGORITHMS), in_form=True)
    """Acquisition function: what makes an image worth labelling.

    Advice: `cald` in general (4.6 times the time of inference); `submodular` where classes are rare, most images empty
    or many alike, in the time of inference; `entropy` or `margin` likewise fast; `random` to see what mining gains.

    说明：挖掘算法（采集函数）：依据什么判断图像值得标注。

    建议：一般用 `cald`（耗时约为推理的 4.6 倍）；类别稀少、多数图像没有目标或许多图像相似时用 `submodular`，耗时与推理
    相当；`entropy` 或 `margin` 同样快；`random` 用作对照。
    """
    class_distribution_scores: str = setting("", may_be_file=True)
    """For `aldd`: weights of the classes, e.g. `1.0,1.0,0.1`; classes without a number have 1.

    Advice: Lower numbers for classes of which there are enough labels. `@FILE` where 100 characters are too few.

    说明：用于 `aldd`：各类别的权重，例如 `1.0,1.0,0.1`；未给出的类别为 1。

    建议：标注已足够的类别取较小的值；超过 100 个字符时写 `@文件`。
    """
    # diversity orders the scores when all of them are there
    diversity_distance: float = setting(
        0.0, limit=Limit("below 1, or 0", lambda distance: 0 < distance < 1), affects_predictions=False
    )
    """Near-duplicates: of two images at a smaller cosine distance, the less informative is moved back; 0 = off.

    Advice: 0.004 for frames of videos, where neighbours are nearly equal. Useful values depend on the model; twice as
    much where too many alike are still among the best.

    说明：近似重复：余弦距离小于该值的两张图像中，信息量较小的一张排到后面；0 表示关闭。

    建议：视频帧（相邻帧几乎相同）取 0.004；合适的值与模型有关，若排在前面的图像仍有许多相似，则加倍。
    """
    # placed when all images are predicted
    empty_images: str = setting("by_score", choices=("by_score", "first", "last"), affects_predictions=False)
    """For `submodular`: where images without a box above `conf_threshold` come, `first`, `last` or `by_score`.

    Advice: Leave it at `by_score`: some of them come early, those that most likely hide an object. `last` where the
    labelling team is to see objects only; `first` to find out what the model overlooks.

    说明：用于 `submodular`：没有得分高于 `conf_threshold` 的框的图像排在何处：`first`（最前）、`last`（最后）或
    `by_score`（按得分）。

    建议：保持 `by_score`：其中最可能漏掉目标的图像会排在前面。只希望标注有目标的图像时用 `last`；想找出模型漏检的
    目标时用 `first`。
    """
    diversity_pool: int = setting(5000, limit=Limit("at least 2", lambda count: count >= 2), affects_predictions=False)
    """How many of the best images `diversity_distance` compares.

    Advice: Two to five times as many as you will label; each costs one more forward pass.

    说明：`diversity_distance` 比较的最佳图像数。

    建议：取计划标注数量的两到五倍；每张需要多一次前向计算。
    """
