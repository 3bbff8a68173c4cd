"""The codec that is ready to use, and how sealed bytes stand in a column."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agno_store import ConfigurationError, envelope
from agno_store.codecs import AesGcm, PayloadCodec, Place

KEY, OTHER = bytes(range(32)), bytes(32)
HERE = Place("run_data", "s", "r", "acme")


def test_what_was_sealed_is_opened_with_its_key_and_for_its_place() -> None:
    codec = AesGcm({"a": KEY, "b": base64.b64encode(OTHER).decode()}, current="b")
    assert isinstance(codec, PayloadCodec)
    for data in (b"", b"hello", bytes(100_000)):
        sealed = codec.encode(data, HERE)
        assert data not in sealed or not data
        assert sealed != codec.encode(data, HERE)
        assert codec.decode(sealed, "b", HERE) == AesGcm({"b": OTHER}).decode(sealed, "b", HERE) == data
        for place in (HERE._replace(**{name: "x"}) for name in Place._fields):
            with pytest.raises(ValueError, match="moved"):
                codec.decode(sealed, "b", place)
        for wrong in (sealed[:-1], sealed[:5], b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
            with pytest.raises(ValueError, match="changed"):
                codec.decode(wrong, "b", HERE)
        with pytest.raises(ValueError, match="another key"):
            codec.decode(sealed, "a", HERE)
    with pytest.raises(LookupError):
        codec.decode(sealed, "c", HERE)
    assert repr(codec) == "AesGcm(a, b; current b)"


def test_no_two_places_are_one() -> None:
    places = [
        Place("a", "b"), Place("a", "b", "c"), Place("a", "b", None, "c"), Place("ab", ""), Place("", "ab"),
        Place("a", "b\ud800"), Place("a", 'b", "c'), Place("a", "b", ""),
    ]  # fmt: skip
    assert len({place.to_bytes() for place in places}) == len(places)


def test_a_new_key_is_one() -> None:
    assert AesGcm.new_key() != AesGcm.new_key()
    assert AesGcm({"new": AesGcm.new_key()}).key_id == "new"


WRONG: dict[str, tuple[Any, Any, str]] = {
    "too short": ({"a": b"short"}, None, "32 bytes"),
    "no base64": ({"a": "n" * 44}, None, "32 bytes"),
    "no key at all": ({"a": None}, None, "32 bytes"),
    "none": ({}, None, "current=None"),
    "which of two": ({"a": KEY, "b": OTHER}, None, "current=None"),
    "another one": ({"a": KEY}, "b", "current='b'"),
    "a list": (["n" * 44], None, "AesGcm is given a list: it must be a dict"),
    "a key alone": ("n" * 44, None, "AesGcm is given a str: it must be a dict"),
    "an id that is a number": ({1: KEY}, None, "key_id=1: it must be"),
    "ids that are numbers": ({1: KEY, 2: OTHER}, None, "key_id=1: it must be"),
}


@pytest.mark.parametrize(("keys", "current", "said"), WRONG.values(), ids=WRONG.keys())
def test_keys_that_are_none_are_refused_without_being_shown(keys: Any, current: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        AesGcm(keys, current)
    assert "short" not in str(refused.value).replace("must be", "")
    assert "nnn" not in str(refused.value)


@pytest.mark.parametrize("column", ["run_data", "summary"])
def test_a_sealed_payload_is_told_from_all_others(column: str) -> None:
    text = envelope.closed(b"\x00\xff", "arn:aws:1", column)
    assert envelope.is_closed(text, column)
    assert not envelope.is_closed(text, "summary" if column == "run_data" else "run_data")
    assert (envelope.key_of(text), envelope.data_of(text)) == ("arn:aws:1", b"\x00\xff")
    assert text.startswith(envelope.under("arn:aws:1", column))
    assert isinstance(json.loads(text.removeprefix("\x1a:")), str)
    for other in ("{}", "[]", '"text"', "null", None, b"bytes", 5):
        assert not envelope.is_closed(other, column)
    with pytest.raises(ValueError, match="end is missing"):
        envelope.data_of(text[:-1])
    with pytest.raises(ValueError, match=r"[Pp]adding|base64|Invalid"):
        envelope.data_of(text[:-3] + '"')
