"""Records that decode a payload when it is looked at, in whichever way that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agno_store import encoding

TEXT = "_agno_store_text"
"""Of a record's dictionary, in the place of its payload, where that is not decoded yet."""

PAYLOAD = "run_data"


class _Dictionary:
    """What gives a record its dictionary, which it looks into itself before anybody else does."""


own: Callable[[Any], dict[str, Any]] = vars(_Dictionary)["__dict__"].__get__
"""A record's own dictionary, as it is."""


class Undecoded(_Dictionary):
    """A record whose ``run_data`` may be a text until then."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        entries = own(self)
        text = entries.get(TEXT)
        if text is not None:
            # The same one for all threads that ask at once.
            entries.setdefault(PAYLOAD, encoding.decode(text))
            entries.pop(TEXT, None)
        return entries

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)

    if not TYPE_CHECKING:  # which would take any name for an attribute
        # Not a descriptor: with this, what reads the dictionaries of dataclasses from C asks for each field instead.
        def __getattr__(self, name: str) -> Any:
            entries = vars(self) if name == PAYLOAD else {}
            if name not in entries:
                problem = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(problem, name=name, obj=self)
            return entries[name]
