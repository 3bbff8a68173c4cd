"""Records that are shown and compared by the values of their fields.

``dataclass`` does that too, with methods that it writes and compiles for each class: a third of what it takes to define
one, at each start of a program.
"""

from __future__ import annotations

from dataclasses import fields
from reprlib import recursive_repr
from typing import Any


class Valued:
    """What ``@dataclass(frozen=True, eq=False, repr=False)`` leaves to others."""

    __slots__ = ()

    @recursive_repr()
    def __repr__(self) -> str:
        this: Any = self
        shown = [f"{field.name}={getattr(this, field.name)!r}" for field in fields(this) if field.repr]
        return f"{self.__class__.__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, field.name) for field in fields(record) if field.compare])
