"""Keys of config.yaml that no task reads: those of the platform, those that earlier versions had, and misspelt ones."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Mapping

from ..errors import briefly
from .read_settings import ALL_SETTINGS

PLATFORM_KEYS = frozenset(
    {
        "class_names", "code_config", "export_format", "git_branch", "git_url", "gpu_count", "gpu_id",
        "model_params_path", "object_type", "openpai_enable", "pretrained_model_params", "prompt", "run_infer",
        "run_mining", "shm_size", "task_id", "text_prompt",
    }
)  # fmt: skip
"""Keys that the platform or its web form adds by itself or reads; none of them is a hyper-parameter."""

REMOVED_KEYS: Mapping[str, str] = {
    "channels_last": "the memory format of the tensors is always channels-last",
    "fuse": "the torch engine always folds normalisation layers into convolutions",
}
"""Keys of earlier versions -> what holds now. The platform copies the config of an old task into a new one."""

_MOST_UNKNOWN = 20  # named in the log; looking for similar names takes milliseconds for each


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each key that has no effect: removed ones, and those that nobody knows, with the nearest
    known one."""
    known = {field.name for settings in ALL_SETTINGS for field in dataclasses.fields(settings)} | PLATFORM_KEYS
    sentences = [
        f"config.yaml: {key} is no longer a setting and has no effect: {now}; remove the key"
        for key, now in REMOVED_KEYS.items()
        if key in config
    ]
    unknown = sorted(str(key) for key in config if key not in known and key not in REMOVED_KEYS)
    for key in unknown[:_MOST_UNKNOWN]:
        near = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        sentences.append(f"config.yaml: unknown key {briefly(key)} has no effect{hint}")
    if len(unknown) > _MOST_UNKNOWN:
        sentences.append(f"config.yaml: {len(unknown) - _MOST_UNKNOWN} more unknown keys have no effect")
    return sentences
