"""Values of YAML as text, usual and odd: anchors, tags, numbers that are none, text that no file can hold."""

from __future__ import annotations

import random
from typing import Iterable, Mapping, Sequence

KEYS = (
    "task_id", "args_options", "mining_algorithm", "batch_size", "class_names", "gpu_id", "input", "output",
    "monitor_file", "_BASE_", "MODEL", "SOLVER.STEPS", "model", "model_stages", "best_stage_name", "files", "mAP", "<<",
    "1", "null", "~", "2020-01-01", "? [a]\n", "'a b'", '"\\0"', "7: a",
)  # fmt: skip
SCALARS = (
    "1", "-1", "0.5", "1e3", "1.0e+300", ".inf", "-.inf", ".nan", "true", "null", "~", "''", "x", "2020-01-01", "1:30",
    "2020-13-45", "0x10", "0x" + "f" * 300, "1" * 50, "9" * 399, "9" * 5000, "2147483648", "-9223372036854775809",
    "!!int x", "!!float x", "!!bool x", "!!binary x", "!!binary eA==", "!!set {a}", "!!omap [a: 1]", "!!timestamp 1",
    "!!pairs [a: 1]", "!!python/tuple [1]", "!x 1", "'\\u0000'", '"\\0"', '"\\uD800"', '"\\x85"', '"a\\nb"', '"\\t"',
    "a.yaml", "/dev/zero", "../a.yaml", "{}", "[]", "[[[]]]", "é", "|", "cat,dog", "'0,1'", "[5]", "{a: 1}", "w" * 3000,
    "2001-12-14t21:59:43.10-05:00", "'((((1,),),),)'", "'[1, \"a\"]'", "'1' ", "-", "? ", "- 1", "...", "---", "%TAG",
    "[" * 60 + "]" * 60, "a" * 300 + ".pth",
)  # fmt: skip


def odd_value(rng: random.Random, depth: int = 0) -> str:
    """Return any value, nested or not, in YAML's flow style."""
    anchor = rng.choice(("", "", "", f"&{rng.choice('abc')} "))
    kind = rng.randrange(4) if depth < 4 else 3
    if kind == 0:
        return anchor + f"[{', '.join(odd_value(rng, depth + 1) for _ in range(rng.randrange(4)))}]"
    if kind == 1:
        pairs = (f"{rng.choice(KEYS)}: {odd_value(rng, depth + 1)}" for _ in range(rng.randrange(4)))
        return anchor + f"{{{', '.join(pairs)}}}"
    return f"*{rng.choice('abc')}" if kind == 2 and rng.random() < 0.5 else anchor + rng.choice(SCALARS)


def value(rng: random.Random, usual: Sequence[str], oddity: float) -> str:
    """Return one of the usual values; with the probability `oddity`, any other one."""
    return odd_value(rng) if rng.random() < oddity else rng.choice(usual)


def mapping(rng: random.Random, usual: Mapping[str, Sequence[str]], oddity: float) -> str:
    """Return a mapping in flow style, in which keys may be missing, repeated or odd, and so may their values."""
    return "{" + ", ".join(_pairs(rng, usual, oddity)) + "}"


def document(rng: random.Random, usual: Mapping[str, Sequence[str]], oddity: float) -> str:
    """Return a file of `key: value` lines, of the same kind."""
    return "\n".join(_pairs(rng, usual, oddity)) + "\n"


def _pairs(rng: random.Random, usual: Mapping[str, Sequence[str]], oddity: float) -> Iterable[str]:
    for key, values in usual.items():
        if rng.random() >= oddity:
            yield f"{key}: {value(rng, values, oddity)}"
        if rng.random() < oddity:
            yield f"{rng.choice((key, *KEYS))}: {odd_value(rng)}"
