"""The three-way merge: laws that hold for any three values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_store.encoding import DEEPEST, decode, encode
from agno_store.merging import merge, merged, same
from agno_store.plain import TAG

KEYS = st.sampled_from(["a", "b", "c", "d"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, -0.0, 1.0]), st.sampled_from(["", "x"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_who_changed_nothing_takes_nothing_away(base: Any, theirs: Any) -> None:
    assert same(merge(base, base, theirs), theirs)


@given(OBJECTS, OBJECTS)
def test_what_nobody_else_touched_is_as_it_was_saved(base: Any, mine: Any) -> None:
    assert same(merge(base, mine, base), mine)


@given(OBJECTS, OBJECTS)
def test_the_same_change_twice_is_that_change(base: Any, both: Any) -> None:
    assert same(merge(base, both, both), both)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_every_change_of_mine_counts(base: Any, mine: Any, theirs: Any) -> None:
    result = merge(base, mine, theirs)
    for key in base.keys() | mine.keys():
        if not same(base.get(key, ...), mine.get(key, ...)) and not isinstance(mine.get(key), dict):
            assert same(result.get(key, ...), mine.get(key, ...))


@given(OBJECTS, OBJECTS, OBJECTS)
def test_every_change_of_theirs_counts_where_mine_is_none(base: Any, mine: Any, theirs: Any) -> None:
    result = merge(base, mine, theirs)
    for key in base.keys() | theirs.keys():
        if same(base.get(key, ...), mine.get(key, ...)):
            assert same(result.get(key, ...), theirs.get(key, ...))


@given(OBJECTS, OBJECTS, OBJECTS)
def test_changes_of_different_keys_are_the_same_whoever_comes_last(base: Any, mine: Any, theirs: Any) -> None:
    mine = {f"m{key}": value for key, value in mine.items()} | base
    theirs = {f"t{key}": value for key, value in theirs.items()} | base

    assert same(merge(base, mine, theirs), merge(base, theirs, mine))
    assert same(merge(base, mine, theirs), base | mine | theirs)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_merge_changes_none_of_the_three(base: Any, mine: Any, theirs: Any) -> None:
    before = json.dumps([base, mine, theirs])
    merge(base, mine, theirs)

    assert json.dumps([base, mine, theirs]) == before


@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_merge_made_again_changes_nothing(base: Any, mine: Any, theirs: Any) -> None:
    once = merge(base, mine, theirs)

    assert same(merge(base, mine, once), once)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 2, "y": 2}}),
        ({"a": 1}, {}, {"a": 1, "b": 2}, {"b": 2}),
        ({"a": 1}, {}, {"a": 2}, {}),
        ({"a": 1}, {"a": 2}, {}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"x": 1, "y": 1}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 2]}),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
        ({"a": 0.0}, {"a": -0.0}, {"a": 0.0, "b": 1}, {"a": -0.0, "b": 1}),
        ({"a": 0.0}, {"a": -0.0}, {"a": 1.0}, {"a": -0.0}),
        ({"a": {"x": 1}}, {"a": "text"}, {"a": {"x": 2}}, {"a": "text"}),
    ],
)
def test_examples(base: Any, mine: Any, theirs: Any, result: Any) -> None:
    assert same(merge(base, mine, theirs), result)


def test_what_stands_behind_a_tag_is_one_value() -> None:
    values: list[list[Any]] = [[1], [1, 2], [1, 3]]
    base, mine, theirs = ({TAG: "set", "value": value} for value in values)

    assert merge({"a": base}, {"a": mine}, {"a": theirs}) == {"a": mine}
    no_pairs = [list[Any](), ["ax"], ["by"]]  # though of two
    base, mine, theirs = ({TAG: "dict", "value": pairs} for pairs in no_pairs)
    assert merge(base, mine, theirs) == mine


@given(*[st.dictionaries(st.sampled_from(["a", "1", 1, 2.5, None, (1, 2), TAG]), LEAVES, max_size=4)] * 3)
def test_keys_that_are_no_text_are_keys(base: Any, mine: Any, theirs: Any) -> None:
    names = {key: str((key,)) for key in {**base, **mine, **theirs}}
    result = decode(merged(*(encode(value, "value") for value in (base, mine, theirs))) or "")

    assert {names[key]: value for key, value in result.items()} == merge(
        *({names[key]: value for key, value in side.items()} for side in (base, mine, theirs))
    )


def test_as_deep_as_it_can_be_stored_it_can_be_merged() -> None:
    def nested(leaf: Any, key: Any) -> Any:
        for _ in range(DEEPEST - 2):
            leaf = {key: leaf}
        return {key: leaf, "other": 0}

    for key in ("k", 1):
        base, mine, theirs = (encode(nested(leaf, key), "value") for leaf in ({}, {"mine": 1}, {"theirs": 2}))
        assert decode(merged(base, mine, theirs) or "") == nested({"mine": 1, "theirs": 2}, key)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        (None, None, '{"a":1}', '{"a":1}'),
        (None, '{"b":2}', '{"a":1}', '{"a":1,"b":2}'),
        ('{"a":1}', None, '{"a":1,"b":2}', '{"b":2}'),
        ('{"a":1}', None, '{"a":1}', None),
        ('{"a":1}', '{"a":2}', None, '{"a":2}'),
    ],
)
def test_sql_null_counts_as_empty(base: str | None, mine: str | None, theirs: str | None, result: str | None) -> None:
    assert merged(base, mine, theirs) == result


def test_what_a_database_would_refuse_stays_escaped() -> None:
    odd = {"nul\x00": "\ud800", "esc\x1a": 10**30, "big": 2**5000}
    result = merged(encode({}, "base"), encode(odd, "mine"), encode({"theirs": "\x00"}, "theirs"))

    assert result == encode({"theirs": "\x00", **odd}, "all")
