"""What a store says of itself, to agno and to people: the same in an event loop and without."""

from __future__ import annotations

import abc
from typing import Any, TypeVar

from sqlalchemy.engine import URL

from agno_store import urls
from agno_store.names import Names

S = TypeVar("S", bound="Shown")


class Shown(abc.ABC):
    """A store with names, an id, and a place."""

    names: Names
    id: str
    tenant_id: str | None
    """Whose sessions this store is about, where it was opened for one of several tenants."""

    @property
    @abc.abstractmethod
    def _place(self) -> URL: ...

    @property
    def db_url(self) -> str:
        """The URL, without its secrets."""
        return urls.redacted(self._place)

    @property
    def db_schema(self) -> str | None:
        """The schema that the tables are in; None is the connection's own."""
        return self.names.schema

    @property
    def table_name(self) -> str:
        """The name of the store's first table, which is that of the sessions."""
        return self.names.sessions

    @property
    def session_table_name(self) -> str:
        """The same, under agno's name for it."""
        return self.names.sessions

    @property
    def runs_table_name(self) -> str:
        """The name of the table of runs."""
        return self.names.runs

    def to_dict(self) -> dict[str, Any]:
        """Describe this store without its URL. agno reads it back through a registry that knows ``id``."""
        kind = type(self).__name__.removesuffix("Db").lower()
        return {
            "id": self.id,
            "type": f"agno_store.{kind}",
            "table_name": self.names.sessions,
            "db_schema": self.names.schema,
            "tenant_id": self.tenant_id,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.db_url!r}, table_name={str(self.names)!r})"

    def __copy__(self: S) -> S:
        return self

    def __deepcopy__(self: S, _memo: object) -> S:
        return self
