"""detectron2's command line as one text: flags, KEY VALUE pairs, quotes, and what contradicts itself."""

from __future__ import annotations

import pytest

from ymir_detectron2.config.args_options import ArgsOptions, parse_args_options, parse_key_values
from ymir_detectron2.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ArgsOptions({})),
        ("--num-gpus 2", ArgsOptions({}, num_gpus=2)),
        ("--num-gpus=2 A.B 1", ArgsOptions({"A.B": "1"}, num_gpus=2)),
        ("A.B 1 --num-gpus 2 C.D '(1, 2)'", ArgsOptions({"A.B": "1", "C.D": "(1, 2)"}, num_gpus=2)),
        ("--config-file 'my configs/x.yaml'", ArgsOptions({}, config_file="my configs/x.yaml")),
        ("--config-file '' A.B --x", ArgsOptions({"A.B": "--x"})),
        ("--dist-url auto", ArgsOptions({}, dist_url="auto")),
        ("--resume A.B 1", ArgsOptions({"A.B": "1"}, resume=True)),
        (
            "--num-machines 2 --machine-rank 1 --dist-url tcp://10.0.0.1:29500",
            ArgsOptions({}, num_machines=2, machine_rank=1, dist_url="tcp://10.0.0.1:29500"),
        ),
    ],
)
def test_flags_are_understood_before_and_after_pairs(text: str, options: ArgsOptions):
    assert parse_args_options(text) == options


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("--resume=yes", "--resume takes no value"),
        ("--eval-only A.B 1", "--eval-only is not for this executor"),
        ("--num-gpu 2", "did you mean --num-gpus?"),
        ("--verbose", "known are --num-gpus, --num-machines, --machine-rank, --config-file, --dist-url, --resume and"),
        ("--num-gpus", "--num-gpus has no value"),
        ("--num-gpus 0", "--num-gpus must be a whole number from 1 to 9999, found '0'"),
        ("--num-gpus two", "--num-gpus must be a whole number from 1 to 9999, found 'two'"),
        ("--machine-rank 1", "--machine-rank 1 is not one of --num-machines 1"),
        ("--num-machines 2", "several machines need --dist-url"),
        ("--num-machines 2 --dist-url auto", "several machines need --dist-url"),
        ("--dist-url file:///tmp/x", "must be tcp://HOST:PORT of machine 0, found 'file:///tmp/x'"),
        ("--dist-url tcp://host:port", "must be tcp://HOST:PORT of machine 0, found 'tcp://host:port'"),
        ("A.B=1", "the key 'A.B=1' has no value"),
        ("A.B", "the key 'A.B' has no value; write KEY VALUE pairs"),
        ("A.B 'x", "close the quotation"),
        ("--num-machines " + "9" * 5000, "--num-machines must be a whole number from 1 to 9999, found '999"),
        ("--num-machines 100000", "must be a whole number from 1 to 9999, found '100000'"),
        ("--dist-url tcp://[::1", "must be tcp://HOST:PORT of machine 0, found 'tcp://[::1'"),
        ("--dist-url tcp://a\u2100:1", "must be tcp://HOST:PORT of machine 0"),
        ("--dist-url 'tcp://a b:1'", "must be tcp://HOST:PORT of machine 0, found 'tcp://a b:1'"),
        ("--dist-url tcp://-x:5", "must be tcp://HOST:PORT of machine 0, found 'tcp://-x:5'"),
        ("--dist-url tcp://a:99999", "must be tcp://HOST:PORT of machine 0"),
        ("'--a\nb' 1", "'--a\\nb' is a flag that detectron2's trainer does not have"),
        ("--" + "x" * 100_000, "is a flag that detectron2's trainer does not have"),
        ("--dist-url tcp://host", "must be tcp://HOST:PORT of machine 0, found 'tcp://host'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(text: str, finding: str):
    with pytest.raises(ConfigError) as failure:
        parse_args_options(text)
    assert str(failure.value).startswith("args_options: ")
    assert finding in str(failure.value)
    assert len(str(failure.value)) < 1000
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("  ", {}),
        ("SOLVER.GAMMA 0.5", {"SOLVER.GAMMA": "0.5"}),
        ("SOLVER.STEPS '(60, 80)'  A.B \"c d\"", {"SOLVER.STEPS": "(60, 80)", "A.B": "c d"}),
        ("MODEL.WEIGHTS ''", {"MODEL.WEIGHTS": ""}),
        ("A.B 1 A.B 2", {"A.B": "2"}),
        ("A.B -1", {"A.B": "-1"}),
    ],
)
def test_args_options_become_pairs(text: str, pairs: dict[str, str]):
    assert parse_args_options(text).values == pairs


@pytest.mark.parametrize(
    ("url", "address"), [("", None), ("auto", None), ("tcp://10.0.0.1:29500", ("10.0.0.1", 29500))]
)
def test_the_rendezvous_of_several_machines(url: str, address: tuple[str, int] | None):
    assert ArgsOptions({}, dist_url=url).master_address == address


def test_key_value_pairs_are_read_from_words():
    assert parse_key_values(["SEED", "3", "SOLVER.STEPS", "(1,)"], "here") == {"SEED": "3", "SOLVER.STEPS": "(1,)"}
    with pytest.raises(ConfigError, match="here: the key 'SEED' has no value"):
        parse_key_values(["SEED"], "here")
