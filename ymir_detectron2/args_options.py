"""`args_options`: what a user would add to detectron2's command line, as one text.

    --num-gpus 2 --config-file configs/CPU/retinanet_R_18_FPN_small.yaml SOLVER.STEPS "(6000, 8000)"

Source: the flags of detectron2's `default_argument_parser`. Unlike there, flags may also follow the pairs.
"""

from __future__ import annotations

import difflib
import shlex
from typing import Iterator, Mapping, NamedTuple
from urllib.parse import urlsplit

from .errors import ConfigError
from .retinanet.config import parse_key_values

_NUMBERS = {"--num-gpus": 1, "--num-machines": 1, "--machine-rank": 0}
"""Flags with a whole number, and the least that each may be."""
_TEXTS = ("--config-file", "--dist-url")
_SWITCHES = ("--resume",)
_REFUSED = {
    "--eval-only": "every stage is evaluated by the training that makes it, and inference judges no boxes",
}


class ArgsOptions(NamedTuple):
    """The text, understood."""

    values: Mapping[str, str]
    """Dotted keys of the configuration; they win over everything else."""
    config_file: str = ""
    """'': as `config_file` of config.yaml says."""
    num_gpus: int = 0
    """Processes on this machine; 0: one per GPU that gpu_id names."""
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = ""
    """tcp://HOST:PORT of machine 0, where the machines meet."""
    resume: bool = False
    """A training goes on where it was stopped in any case; with this, one of other settings is an error."""

    @property
    def meeting_place(self) -> tuple[str, int] | None:
        """Host and port of `dist_url`; None where the processes of one machine meet by themselves."""
        if self.dist_url in ("", "auto"):
            return None
        parts = urlsplit(self.dist_url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:  # a port that is no number
            host, port = None, None
        if parts.scheme != "tcp" or not host or not port:
            raise ConfigError(f"args_options: --dist-url must be tcp://HOST:PORT, found {self.dist_url!r}")
        return host, port


def parse_args_options(text: str) -> ArgsOptions:
    """Split into flags and KEY VALUE pairs; quotes keep blanks together.

    Raises:
        ConfigError: a quote is left open, a value is missing, or a flag is unknown, refused or contradicts another.
    """
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"args_options: {error} in {text!r}; close the quotation") from error
    pairs: list[str] = []
    flags: dict[str, str] = {}
    for word in words:
        if word.startswith("--"):
            flag, has_value, value = word.partition("=")
            _require_known(flag)
            if flag in _SWITCHES:
                _require_no_value(flag, has_value)
                flags[flag] = flag
            else:
                flags[flag] = value if has_value else _next(words, flag)
        else:
            pairs.append(word)
            pairs.extend(value for value in [next(words, None)] if value is not None)
    options = ArgsOptions(
        values=parse_key_values(pairs, "args_options"),
        config_file=flags.get("--config-file", ""),
        num_gpus=_number(flags, "--num-gpus", 0),
        num_machines=_number(flags, "--num-machines", 1),
        machine_rank=_number(flags, "--machine-rank", 0),
        dist_url=flags.get("--dist-url", ""),
        resume="--resume" in flags,
    )
    _require_sense(options)
    return options


def _require_known(flag: str) -> None:
    if flag in _REFUSED:
        raise ConfigError(f"args_options: {flag} is not for this executor: {_REFUSED[flag]}; remove the flag")
    known = (*_NUMBERS, *_TEXTS, *_SWITCHES)
    if flag not in known:
        near = difflib.get_close_matches(flag, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and KEY VALUE pairs"
        raise ConfigError(f"args_options: {flag} is a flag that detectron2's trainer does not have; {hint}")


def _require_no_value(flag: str, has_value: str) -> None:
    if has_value:
        raise ConfigError(f"args_options: {flag} takes no value; write {flag} alone")


def _next(words: Iterator[str], flag: str) -> str:
    value = next(words, None)
    if value is None:
        raise ConfigError(f"args_options: {flag} has no value; write it behind the flag")
    return value


def _number(flags: Mapping[str, str], flag: str, default: int) -> int:
    if flag not in flags:
        return default
    text, least = flags[flag], _NUMBERS[flag]
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"args_options: {flag} must be a whole number from {least} on, found {text!r}")
    return int(text)


def _require_sense(options: ArgsOptions) -> None:
    place = options.meeting_place
    if options.machine_rank >= options.num_machines:
        raise ConfigError(
            f"args_options: --machine-rank {options.machine_rank} is not one of --num-machines {options.num_machines};"
            " machines are numbered from 0"
        )
    if options.num_machines > 1 and place is None:
        raise ConfigError("args_options: several machines need --dist-url tcp://HOST:PORT of machine 0; add it")
