"""What Alembic has found tables to differ in, as sentences in the words of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect as SqlDialect


def sentences(entries: Sequence[Any], dialect: SqlDialect) -> Iterator[str]:
    """Say each difference once. What is other than declared Alembic takes for one thing too many and one missing."""
    items = {(entry[0], _place(entry[1])): entry[1] for entry in entries if not isinstance(entry, list)}
    for entry in entries:
        if isinstance(entry, list):  # the changes of one column
            yield from (_of_column(change, dialect) for change in entry)
            continue
        kind, item = entry[0], entry[1]
        verb, _, what = kind.partition("_")
        there, wanted = (items.get((f"{each}_{what}", _place(item))) for each in ("remove", "add"))
        if there is None or wanted is None or not _place(item):
            yield _of(entry)
        elif verb == "add":
            yield f"{_named(what, item)} is {_made(there, dialect)}, should be {_made(wanted, dialect)}"


def _place(item: Any) -> tuple[str, str] | None:
    """Return where an index or a constraint is, and its name."""
    table = getattr(item, "table", None)
    return None if table is None else (table.name, str(item.name))


def _of(entry: Any) -> str:
    kind, *rest = entry
    missing = "missing" if kind.startswith("add") else "not declared"
    if kind in ("add_table", "remove_table"):
        return f"table {rest[0].name} is {missing}"
    if kind in ("add_column", "remove_column"):
        return f"column {rest[1]}.{rest[2].name} is {missing}"
    return f"{_named(kind.partition('_')[2], rest[0])} is {missing}"


def _named(what: str, item: Any) -> str:
    return f"{what.replace('_', ' ')} {item.name} on {getattr(getattr(item, 'table', None), 'name', '')}"


def _made(item: Any, dialect: SqlDialect) -> str:
    """Return what an index or a constraint is made of: what follows the table, or the name, where it is created."""
    clause: Any = sa.schema.CreateIndex(item) if isinstance(item, sa.Index) else sa.schema.AddConstraint(item)
    words = " ".join(str(clause.compile(dialect=dialect)).split())
    unique = "UNIQUE " if isinstance(item, sa.Index) and item.unique else ""
    return unique + words[words.index("(", words.index(" ON " if isinstance(item, sa.Index) else " ADD ")) :]


def _of_column(change: Any, dialect: SqlDialect) -> str:
    kind, _, table, column, _, there, wanted = change
    place, what = f"column {table}.{column}", kind.removeprefix("modify_")
    if what == "type":
        return f"{place} is {there.compile(dialect=dialect)}, should be {wanted.compile(dialect=dialect)}"
    if what == "nullable":
        return f"{place} is {_null(there)}, should be {_null(wanted)}"
    if what == "default":
        return f"{place} has {_default(there, dialect)}, should have {_default(wanted, dialect)}"
    return f"{place}: {what} is {there!r}, should be {wanted!r}"


def _null(nullable: bool) -> str:
    return "NULL" if nullable else "NOT NULL"


def _default(clause: Any, dialect: SqlDialect) -> str:
    text = getattr(clause, "arg", None)
    if text is None:
        return "no default"
    said = text if isinstance(text, str) else text.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return f"DEFAULT {said}"
