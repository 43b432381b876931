"""What each error code means and what to do about it, in English and Chinese.

The tables of README.md and README.zh-CN.md are generated from here, and after a failure the log ends with the Chinese
sentence of its code: the platform shows its users the end of the log as it is. The platform's own texts of the codes
are the first words of each meaning.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple


class Explanation(NamedTuple):
    """Of one code in one language, with Markdown's backticks around names."""

    meaning: str
    remedy: str


class ErrorTexts(NamedTuple):
    """Of one code."""

    english: Explanation
    chinese: Explanation


ERROR_TABLE: Mapping[int, ErrorTexts] = {
    300001: ErrorTexts(
        Explanation(
            "a setting, `env.yaml`, `config.yaml`, `config_file` or what the command line names is wrong",
            "correct the key or file that the line names",
        ),
        Explanation(
            "配置错误，参数、`env.yaml`、`config.yaml`、`config_file` 或命令行中给出的内容有误",
            "请改正英文错误信息中指出的参数或文件",
        ),
    ),
    300002: ErrorTexts(
        Explanation(
            "a set of images is empty, or nothing in it can be used",
            "check the file that the line names; leave `export_format` at `ark:raw`",
        ),
        Explanation(
            "训练集、验证集或候选集错误，集合为空或其中没有可用的数据",
            "请检查英文错误信息中指出的文件，`export_format` 请保持 `ark:raw`",
        ),
    ),
    300003: ErrorTexts(
        Explanation(
            "an image cannot be read, or memory would not hold it",
            "replace it; a single one never ends a task",
        ),
        Explanation(
            "图片格式错误，图片无法读取或内存放不下",
            "请更换英文错误信息中指出的图片，个别坏图只会被跳过，不会使任务失败",
        ),
    ),
    300004: ErrorTexts(
        Explanation(
            "weights are missing, unreadable or for other classes",
            "choose a model of this image and these classes",
        ),
        Explanation(
            "模型错误，权重缺失、无法读取或类别不符",
            "请选择由本镜像训练、类别一致的模型",
        ),
    ),
    300005: ErrorTexts(
        Explanation("the task wants masks", "choose another Docker image: this one detects boxes"),
        Explanation("任务类型错误，任务要求分割掩码，而本镜像只做目标检测", "请改用支持该任务的镜像"),
    ),
    300101: ErrorTexts(
        Explanation("the GPU is too new or too old for this torch", "use the other flavour of the Docker image"),
        Explanation(
            "CUDA 与 GPU 不兼容，镜像中的 torch 不支持这块显卡",
            "请换用另一种镜像，Pascal 至 Ampere 用 `cu111`，Hopper 及以后用 `current`",
        ),
    ),
    300102: ErrorTexts(
        Explanation(
            "the requested GPU is not available",
            "fewer GPUs, `--gpus`, or leave `gpu_id` out: a GPU if there is one",
        ),
        Explanation(
            "未找到所要求的 GPU",
            "请减少 GPU 数量，检查 `docker run --gpus`，或去掉 `gpu_id`，此时有 GPU 则用 GPU，没有则用 CPU",
        ),
    ),
    300103: ErrorTexts(
        Explanation(
            "out of memory, of the GPU or of the machine",
            "lower `batch_size`, `image_size` or `num_workers`, or give the container more memory",
        ),
        Explanation(
            "内存或显存不足",
            "请调小 `batch_size`、`image_size` 或 `num_workers`，或给容器更多内存",
        ),
    ),
    300201: ErrorTexts(
        Explanation(
            "the loss became NaN or infinite, also at an eighth of the learning rate",
            "lower `learning_rate`",
        ),
        Explanation(
            "NaN 错误，损失（loss）变为 NaN 或无穷大，学习率降到八分之一后仍然如此",
            "请调低 `learning_rate`",
        ),
    ),
    300301: ErrorTexts(
        Explanation(
            "published weights could not be downloaded",
            "put the file where the line says, or `YMIR_WEIGHTS_DIR`",
        ),
        Explanation(
            "网络错误，公开的预训练权重下载失败",
            "请把权重文件放到英文错误信息指出的位置，或放到 `YMIR_WEIGHTS_DIR` 指定的目录",
        ),
    ),
    160004: ErrorTexts(
        Explanation(
            "stopped from outside, `/out` not writable or in use by another start, or a failure that none of the above"
            " describes",
            "read that line and those above it; started again on the same `/out`, the task goes on",
        ),
        Explanation(
            "容器错误，任务被外部停止、`/out` 不可写或正被另一次启动占用，或发生了其他错误码未涵盖的故障",
            "请查看英文错误信息及其上方的日志，排除原因后用同一个 `/out` 重新启动即可继续",
        ),
    ),
}
"""The codes of `errors.py`, specific ones first."""


def chinese_sentence(code: int) -> str:
    """Return what a code means and what to do about it as one Chinese sentence for the log."""
    # a code may have come from a child's pipe, into which another program can write
    meaning, remedy = ERROR_TABLE.get(code, ERROR_TABLE[160004]).chinese
    return f"错误 {code}：{meaning}；{remedy}。".replace("`", "")
