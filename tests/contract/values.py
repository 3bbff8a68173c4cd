"""Values to store, and a comparison that is stricter than ``==``."""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from agno_store.encoding import CORRUPT, UNSTORABLE
from agno_store.plain import TAG

EMOJI = "🎉 👩‍👩‍👧‍👦 é e\u0301 \u202e עברית"
NASTY_TEXTS = {
    "nul": "a\x00b",
    "only nul": "\x00",
    "six characters that spell nul": "\\u0000",
    "an escaped backslash before them": "\\\\u0000",
    "six characters that spell a surrogate": "\\ud800",
    "high surrogate": "\ud83d",
    "low surrogate": "\ude00",
    "a pair of surrogates": "\ud83d\ude00",
    "surrogates the wrong way round": "\ude00\ud83d",
    "surrogates beside what they would make": "\ud83d\ude00😀",
    "a surrogate before hexadecimal digits": "\ud83d00e9",
    "our own escape": "\x1a",
    "what our escape looks like": "\x1a0 \x1ad83d \x1a\x1a \\u001a0 \\u001a\\u001a",
    "nul behind our escape": "\x1a\x00",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "last of the plane and beyond": "\uffff\ufffe\U00010000\U0010ffff",
    "line separators": "\r\n\u2028\u2029\x85",
    "byte order mark": "\ufefftext",
    "emoji": EMOJI,
    "quotes": "'\"`´\\/%_:;--$1{}[]",
    "spaces": " \t text \n ",
    "empty": "",
    "our own tag": "$agno_store",
}

ODD_NUMBERS = [
    0,
    -1,
    2**53 + 1,
    2**63,
    -(2**64),
    10**40 + 7,
    -(10**200),
    0.0,
    -0.0,
    0.1,
    1 / 3,
    1e16,
    1e22,
    1e-7,
    123456789.123456789,
    5e-324,
    1.7976931348623157e308,
    2.2250738585072014e-308,
]

_characters = st.one_of(
    st.characters(codec="utf-8"),
    st.characters(categories=["Cs"]),
    st.sampled_from(
        ["\x00", "\x1a", "\\", '"', "u", "0", "d", "\\u0000", "\x1a0", "\x1ad83d", "😀", "\ud83d", "\ude00"]
    ),
)
texts = st.lists(_characters, max_size=12).map("".join)
numbers = st.integers() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)


# -- values that JSON cannot say -----------------------------------------------------------------------

_zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_maybe_zones = st.none() | _zones
keys = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    st.integers(-(2**70), 2**70) | st.integers(2**990, 2**1010),
    st.floats(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.datetimes(timezones=_maybe_zones),
    st.dates(),
    st.times(timezones=_maybe_zones),
    st.timedeltas(),
    st.uuids(),
    st.binary(max_size=8),
    st.complex_numbers(),
    st.tuples(texts, st.integers()),
    st.frozensets(st.integers() | texts, max_size=3),
)
"""What can be a key of a dict, or in a set."""

lookalikes = st.fixed_dictionaries(
    {TAG: st.sampled_from(["set", "dict", "decimal", UNSTORABLE, CORRUPT, "unheard of"]) | texts, "value": values}
)
"""What looks like a tag of ours and is a caller's own."""

anything = st.recursive(
    keys | numbers | lookalikes | st.binary(max_size=4).map(bytearray) | st.just(Decimal("sNaN")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.sets(keys, max_size=3),
    ),
    max_leaves=6,
)


def exact(value: Any) -> Any:
    """``value`` with types, the order of keys and every bit of a float visible to ``==``."""
    if isinstance(value, float):
        return float, value.hex() if math.isfinite(value) else repr(value)
    if isinstance(value, dict):
        return dict, [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [exact(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(exact(item)) for item in value)
    if isinstance(value, (Decimal, complex, datetime, time)):
        return type(value), repr(value)  # digits, signs of zero and zones, which == does not see
    return type(value), value


def nested(depth: int, leaf: Any = "leaf") -> Any:
    """``leaf`` inside so many lists and dicts."""
    for n in range(depth):
        leaf = [leaf] if n % 2 else {"in": leaf}
    return leaf
