"""For a host that has Alembic revisions of its own: its autogenerate is not to touch our tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from agno_store.names import DEFAULT, Names


class _Store(Protocol):
    names: Names


def include_name(
    name: str | None,
    type_: str,
    parent_names: Mapping[str, str | None],
    *,
    stores: Names | str | Iterable[Names | str | _Store] = DEFAULT,
) -> bool:
    """Tell the autogenerate of the host's own Alembic to leave the tables of our stores alone.

        context.configure(..., include_name=agno_store.include_name)

    ``stores`` are stores, their names, or texts like ``"ai.support_sessions"``, where there are others than
    ``agent_sessions`` in the connection's own schema: ``functools.partial(include_name, stores=[...])``.
    """
    if type_ != "table":
        return True
    # The connection's own schema comes as None, whatever it is called: there a store counts that names it.
    schema = parent_names.get("schema_name")
    several = [stores] if isinstance(stores, (str, Names)) else stores
    return not any(name in found.own and schema in (found.schema, None) for found in map(_names, several))


def _names(store: Names | str | _Store) -> Names:
    if isinstance(store, Names):
        return store
    if isinstance(store, str):
        schema, _, table = store.rpartition(".")
        return Names(table, schema or None)
    return store.names
