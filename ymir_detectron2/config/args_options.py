"""`args_options`: the arguments of detectron2's command line, as one text.

    --num-gpus 2 --config-file configs/CPU/retinanet_R_18_FPN_small.yaml SOLVER.STEPS "(6000, 8000)"

Source: the flags of detectron2's `default_argument_parser`. Unlike there, flags may also follow the pairs.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
from typing import Any, Mapping, NamedTuple, Sequence
from urllib.parse import urlsplit

from ..errors import ConfigError, briefly

_NUMBERS = {"--num-gpus": 1, "--num-machines": 1, "--machine-rank": 0}
"""Flags with a whole number, and the minimum of each."""
_MAX_NUMBER = 9999
"""More processes, or machines, than any task can have. A larger number could not even be printed."""
_HOST = re.compile(r"[0-9A-Za-z_.:%][0-9A-Za-z_.:%-]*")
"""A name, or an address of IPv4 or IPv6, which may have a zone; torch's launcher would take -x for an option."""
_TEXTS = ("--config-file", "--dist-url")
_SWITCHES = ("--resume",)
_REFUSED = {
    "--eval-only": "every stage is evaluated by the training that makes it, and inference judges no boxes",
}


class ArgsOptions(NamedTuple):
    """The parsed text."""

    values: Mapping[str, str]
    """Dotted keys of the configuration; they override everything else."""
    config_file: str = ""
    """Takes precedence over `config_file` of config.yaml; '': not given."""
    num_gpus: int = 0
    """Processes on this machine; 0: one per GPU that gpu_id names."""
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = ""
    """tcp://HOST:PORT of machine 0, the rendezvous of the machines."""
    resume: bool = False
    """Refuse to start a training from step 1 where the output folder holds one with other settings. An unfinished
    training with the same settings is resumed without this flag too."""

    @property
    def master_address(self) -> tuple[str, int] | None:
        """Host and port of `dist_url`; None on a single machine, where torch's launcher chooses them.

        Raises:
            ConfigError: `dist_url` is something else.
        """
        if self.dist_url in ("", "auto"):  # "auto": detectron2's word for it
            return None
        try:
            parts = urlsplit(self.dist_url)
            host, port = parts.hostname, parts.port
        except ValueError:  # a port that is not a number, or a bracket of an IPv6 address that is left open
            raise self._not_an_address() from None
        # torch resolves the name of the host, as bytes of IDNA
        if parts.scheme != "tcp" or not host or not port or not _HOST.fullmatch(host):
            raise self._not_an_address()
        return host, port

    def _not_an_address(self) -> ConfigError:
        return ConfigError(
            f"args_options: --dist-url must be tcp://HOST:PORT of machine 0, found {briefly(self.dist_url)}"
        )


def parse_args_options(text: str) -> ArgsOptions:
    """Parse flags and KEY VALUE pairs; quotes keep spaces together, as in a shell.

    Raises:
        ConfigError: a quote is left open, a value is missing, or a flag is unknown, refused or contradicts another.
    """
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"args_options: {error} in {briefly(text)}; close the quotation") from error
    pairs: list[str] = []
    flags: dict[str, str] = {}
    for word in words:
        if word.startswith("--"):
            flag, has_value, value = word.partition("=")
            _require_known(flag)
            if flag in _SWITCHES:
                if has_value:
                    raise ConfigError(f"args_options: {flag} takes no value; write {flag} alone")
            elif not has_value:
                following = next(words, None)  # may be '', from two quotes
                if following is None:
                    raise ConfigError(f"args_options: {flag} has no value; write it behind the flag")
                value = following
            flags[flag] = value
        else:
            # whatever follows a key is its value, even if it begins with two dashes
            pairs += [word, *itertools.islice(words, 1)]
    options = ArgsOptions(
        values=parse_key_values(pairs, "args_options"),
        config_file=flags.get("--config-file", ""),
        num_gpus=_number(flags, "--num-gpus", 0),
        num_machines=_number(flags, "--num-machines", 1),
        machine_rank=_number(flags, "--machine-rank", 0),
        dist_url=flags.get("--dist-url", ""),
        resume="--resume" in flags,
    )
    _check_machines(options)
    return options


def parse_key_values(tokens: Sequence[str], source: str) -> dict[str, Any]:
    """Return the pairs of e.g. `["SOLVER.STEPS", "(100,)"]`; values stay text, which `EngineConfig.merged` decodes.

    Raises:
        ConfigError: the last key has no value.
    """
    if len(tokens) % 2:
        raise ConfigError(f"{source}: the key {briefly(tokens[-1])} has no value; write KEY VALUE pairs")
    return dict(zip(tokens[0::2], tokens[1::2]))


def _require_known(flag: str) -> None:
    if flag in _REFUSED:
        raise ConfigError(f"args_options: {flag} is not for this executor: {_REFUSED[flag]}; remove the flag")
    known = (*_NUMBERS, *_TEXTS, *_SWITCHES)
    if flag not in known:
        near = difflib.get_close_matches(flag[:100], known, n=1)  # of a long text it takes minutes
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and KEY VALUE pairs"
        raise ConfigError(f"args_options: {briefly(flag)} is a flag that detectron2's trainer does not have; {hint}")





def _number(flags: Mapping[str, str], flag: str, default: int) -> int:
    if flag not in flags:
        return default
    text, minimum = flags[flag], _NUMBERS[flag]
    # the length first: Python refuses to convert, or to print, thousands of digits
    if not text.isdecimal() or len(text) > len(str(_MAX_NUMBER)) or int(text) < minimum:
        raise ConfigError(
            f"args_options: {flag} must be a whole number from {minimum} to {_MAX_NUMBER}, found {briefly(text)}"
        )
    return int(text)


def _check_machines(options: ArgsOptions) -> None:
    address = options.master_address  # read first: it checks --dist-url, even where it will not be used
    if options.machine_rank >= options.num_machines:
        raise ConfigError(
            f"args_options: --machine-rank {options.machine_rank} is not one of --num-machines {options.num_machines};"
            " machines are numbered from 0"
        )
    if options.num_machines > 1 and address is None:
        raise ConfigError("args_options: several machines need --dist-url tcp://HOST:PORT of machine 0; add it")
