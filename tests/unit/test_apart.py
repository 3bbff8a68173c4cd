"""Which texts of a payload are told apart, and what is left of it."""

from __future__ import annotations

import pytest

from agno_store import apart, encoding

OVER = 1_000


@pytest.mark.parametrize("letter", ["x", "é", "日", "\U0001f600"])
def test_bytes_count_and_not_letters(letter: str) -> None:
    most = OVER // len(letter.encode())
    for count, is_apart in ((most, False), (most + 1, True)):
        text = encoding.encode({"content": letter * count}, "run_data")
        parted = apart.parted(text, OVER)
        assert bool(apart.parts_of(parted)) is is_apart
        assert apart.whole(parted) == text


def test_what_stands_beside_a_payload_counts_for_the_memory_that_it_takes() -> None:
    parted = apart.parted(encoding.encode({"content": "x" * 10_000}, "run_data"), OVER)
    assert apart.size(apart.row(parted)) < OVER
    assert apart.size(parted) > 10_000


def test_bytes_in_the_place_of_a_payload_have_no_marks() -> None:
    assert not list(apart.digests(apart.MARK.encode()))
