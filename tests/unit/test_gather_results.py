"""How lines are cut into pieces to be sent; tests/contract/test_several_machines.py has the processes that do so."""

from __future__ import annotations

import pytest

from ymir_detectron2.tasks import gather_results


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        pytest.param([], [], id="no lines"),
        pytest.param([b"ab\n"], [b"ab\n"], id="shorter than a piece"),
        pytest.param([b"abc\n", b"d\n"], [b"abc\n", b"d\n"], id="as long as a piece"),
        pytest.param([b"a\n", b"b\n", b"c\n"], [b"a\nb\n", b"c\n"], id="joined"),
        pytest.param([b"abcdefghij\n"], [b"abcd", b"efgh", b"ij\n"], id="longer than a piece"),
    ],
)
def test_lines_are_joined_into_pieces_and_cut(monkeypatch: pytest.MonkeyPatch, lines: list, pieces: list):
    monkeypatch.setattr(gather_results, "_PIECE_BYTES", 4)
    assert [bytes(piece) for piece in gather_results._pieces(lines)] == pieces
