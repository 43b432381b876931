"""The first rows of a ranking: as in the files, on one line each, whatever the names."""

from __future__ import annotations

from pathlib import Path

from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.results.first_rows import MOST_ROWS, first_rows
from ymir_detectron2.results.mining_explanations import (
    FILE_NAME,
    BoxReason,
    ImageReason,
    MiningExplanations,
    write_explanations,
)


def test_rows_have_rank_name_score_and_reason(tmp_path: Path):
    result = tmp_path / "result.tsv"
    write_mining_result(result, [(f"/in/{n}.jpg", 1.0 - n / 10) for n in range(9)])
    box = BoxReason(xyxy=(0, 0, 9, 9), class_name="cat", score=0.5, value=1.0)
    reason = ImageReason(asset="/in/1.jpg", score=0.9, facts=[("entropy", 1.0)], boxes=[box])
    write_explanations(tmp_path / FILE_NAME, MiningExplanations(algorithm="entropy", images=[reason]))
    rows = first_rows(result)
    assert len(rows) == MOST_ROWS
    assert rows[0] == (1, "0.jpg", 1.0, "")
    assert rows[1] == (2, "1.jpg", 0.9, "1 x cat 0.50")


def test_names_of_strangers_stay_on_their_line(tmp_path: Path):
    result = tmp_path / "result.tsv"
    hostile = "/in/" + "x" * 300 + "\x1b[2J\u202e\udcff.jpg"
    write_mining_result(result, [(hostile, 0.5)])
    box = BoxReason(xyxy=(0, 0, 9, 9), class_name="cat\n\x1b[2J" + "y" * 999, score=0.5, value=1.0)
    asset = hostile.encode("utf-8", "backslashreplace").decode().replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    reason = ImageReason(asset=asset, score=0.5, facts=[("entropy", 1.0)], boxes=[box])
    write_explanations(tmp_path / FILE_NAME, MiningExplanations(algorithm="entropy", images=[reason]))
    (row,) = first_rows(result)
    assert row.name.startswith("...xxx")
    assert row.name.endswith("\\x1b[2J\\u202e\\udcff.jpg")
    assert len(row.name) == 48
    assert row.reason.startswith("1 x cat \\x1b[2Jyyy")
    assert (row.name + row.reason).isprintable()
