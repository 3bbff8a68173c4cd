"""What a look at a store's surroundings finds, and what every database is looked at for."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy.engine import URL, Connection

from agno_store.dialects.base import Dialect
from agno_store.dialects.rights import quoted
from agno_store.errors import AgnoStoreError
from agno_store.names import Names

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``subject`` names it, ``level`` is 'ok', 'warning' or 'error'.

    What is not ok has a ``cure``: a command, a statement or a setting. ``error`` is what a call that met it raises.
    """

    subject: str
    level: str
    message: str
    cure: str = ""
    error: AgnoStoreError | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON can say it."""
        return {"subject": self.subject, "level": self.level, "message": self.message, "cure": self.cure}


@dataclass(frozen=True)
class Look:
    """What a check is given: a connection in a transaction of its own, and the store to look at."""

    connection: Connection
    dialect: Dialect
    names: Names
    url: URL

    def quoted(self, table: str) -> str:
        """Name a table in a statement that somebody is to run."""
        return ".".join(quoted(self.connection, part) for part in (self.names.schema, table) if part)


Check = Callable[[Look], Iterator[Finding]]


class Health(abc.ABC):
    """What one kind of database is looked at for. Nothing here writes."""

    isolation: ClassVar[tuple[str, ...]]
    """The transaction isolation levels that a store is made for, the best first."""

    @property
    @abc.abstractmethod
    def checks(self) -> Mapping[str, Check]:
        """The checks, in order, by their subjects."""

    def outside(self, url: URL) -> Iterator[Finding]:
        """What can be found without a connection."""
        yield from ()


def size(count: float) -> str:
    """Say a number of bytes."""
    if count < 1024:
        return f"{count:.0f} bytes"
    units = iter(("KiB", "MiB", "GiB", "TiB"))
    count, unit = count / 1024, next(units)
    while count >= 1024 and unit != "TiB":
        count, unit = count / 1024, next(units)
    return f"{count:.1f} {unit}"
