"""The keys of config.yaml that all three tasks share, and the checks of all keys.

A key is declared here, in `train_settings.py` or in `prediction_settings.py`, by `setting`, and read where it is used.
What else the program has to know about it is declared with it (`setting.Effects`), and what a user has to know stands
under it in English and Chinese: the tables of both READMEs and the templates of the web form are made from these files.

The web form drops empty and zero values and sends numbers as text (contract, 2.3). Therefore a missing key, an empty
text, the word `none` and a zero all mean the same: the default, or, for a few keys of training, "as `config_file`
specifies". No key has a sensible value that is falsy while its default is not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .setting import ENGINES, ZERO_OR_MORE, Limit, from_0_to, require_valid, setting


@dataclass(frozen=True)
class CommonSettings:
    """Keys that all three tasks share."""

    engine: str = setting("auto", choices=("auto", *ENGINES), resumable=True)
    """Implementation of the network: `auto` is detectron2 where it is installed and implements all keys, else torch.

    Advice: Leave it at `auto`; name one to compare the two, or to be sure that it does not change between machines.

    说明：网络的实现：`auto` 表示已安装 detectron2 且其支持所设的全部超参数时用 detectron2，否则用 torch。

    建议：保持 `auto`；需要对比两种实现，或要求各台机器使用同一实现时再指定。
    """
    # resumable: what a machine makes of it is compared, and a difference is a warning
    precision: str = setting("auto", choices=("auto", "fp32", "bf16", "fp16"), resumable=True)
    """Mixed precision of this task, whatever its model was trained in: `auto` is bf16 on a GPU that has it, else fp32;
    what the device does not have becomes fp32.

    Advice: Leave it at `auto`; `bf16` on a CPU with AVX512-BF16 (about twice as fast), `fp16` on a V100 or T4.

    说明：本任务的计算精度（混合精度），与模型训练时的精度无关：`auto` 在支持 bf16 的 GPU 上用 bf16，否则用 fp32；设备不
    支持的精度自动改用 fp32。

    建议：保持 `auto`；CPU 支持 AVX512-BF16 时可用 `bf16`（约快一倍），V100、T4 可用 `fp16`。
    """
    num_workers: int = setting(0, limit=from_0_to(256), resumable=True, affects_predictions=False)
    """Data-loading workers that decode images ahead; 0 chooses by the number of processors.

    Advice: More where the GPU waits for large images (low utilisation); 1 or 2 where main memory is short.

    说明：预先解码图像的数据加载线程或进程数；0 表示按处理器核数自动选择。

    建议：图像较大、GPU 利用率低时调大；内存不足时设为 1 或 2。
    """
    max_image_megapixels: float = setting(0.0, limit=ZERO_OR_MORE, resumable=True)
    """Millions of pixels that an image may have; larger ones are left out. 0: as many as the memory of the machine, or
    of the container, can hold.

    Advice: Leave it at 0; e.g. 100 where huge scans are in the dataset by mistake, or machines have different memory.

    说明：单张图像允许的最大像素数（百万像素），更大的图像会被跳过；0 表示由机器或容器的内存决定。

    建议：保持 0；数据集中误混入超大扫描图，或各台机器内存不同时，可设为例如 100。
    """
    seed: int = setting(0, limit=Limit("between 0 and 4294967295", lambda seed: 0 <= seed < 2**32))
    """Random seed; the same seed gives the same result on a machine of the same kind.

    Advice: Leave it; repeat a training with 1, 2 and 3 to see which differences between two settings are only chance.

    说明：随机种子；在同类机器上，相同的种子得到相同的结果。

    建议：保持默认；比较两组超参数时，可分别用 1、2、3 各训练一次，以判断差异是否只是偶然。
    """
    # where args_options matter, their parsed values are compared: how they are spelled makes no difference
    args_options: str = setting("", resumable=True, affects_predictions=False, in_form=True, may_be_file=True)
    """Flags and KEY VALUE pairs as for detectron2, e.g. `TEST.DETECTIONS_PER_IMAGE 300`; they override every other key.

    Advice: For what has no key here: images with more than 100 objects need `TEST.DETECTIONS_PER_IMAGE 300`, for
    example. `@FILE` where 100 characters are too few.

    说明：命令行参数：与 detectron2 相同的选项和 KEY VALUE 对，例如 `TEST.DETECTIONS_PER_IMAGE 300`；优先级高于其他所
    有超参数。

    建议：用于没有对应超参数的 detectron2 配置项，例如单张图像中目标超过 100 个时写 `TEST.DETECTIONS_PER_IMAGE 300`；超
    过 100 个字符时写 `@文件`。
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            require_valid(field, getattr(self, field.name))
