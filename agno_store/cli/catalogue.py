"""What a store's tables are, as this release declares them, and since which revision: for people and for diagrams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from agno_store import open_db, types
from agno_store.cli import described
from agno_store.names import Names
from agno_store.tables import REVISIONS, journal, metadata

TYPES: dict[str, tuple[sa.types.TypeEngine[Any], str]] = {
    "id": (types.ID, "an id or one of a few words, compared by bytes"),
    "text": (types.TEXT, "a text of any length"),
    "payload": (types.JSON, "JSON text: see [what can be stored](encoding.md)"),
    "number": (types.COUNT, "a counter or a position"),
    "time": (types.TIME, "microseconds since 1970-01-01 UTC; the calls of this package and of agno say whole seconds"),
}
"""What columns hold, and what that means."""

DATABASES = {
    "SQLite": "sqlite://",
    "PostgreSQL": "postgresql+psycopg://",
    "MySQL": "mysql+pymysql://",
    "MariaDB": "mariadb+pymysql://",
}


class Column(NamedTuple):
    """A column: its type is one of ``TYPES``."""

    name: str
    type: str
    nullable: bool
    primary_key: bool
    since: str | None
    what: str


class Index(NamedTuple):
    """An index, or a constraint that is kept by one."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    since: str | None


class Table(NamedTuple):
    """A table; ``refers_to`` names the one whose rows take those of this one with them."""

    name: str
    what: str
    since: str | None
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    refers_to: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        inside = {
            "columns": [one._asdict() for one in self.columns],
            "indexes": [one._asdict() for one in self.indexes],
        }
        return {**self._asdict(), **inside}


def tables(names: Names) -> list[Table]:
    """Return the tables of a store that is called so. Touches no database but one in memory."""
    since = _since(Names(names.sessions))
    declared = [*metadata(names).sorted_tables, journal(names)]
    return [_table(names, table, since) for table in declared]


def _table(names: Names, table: sa.Table, since: dict[tuple[str, str], str]) -> Table:
    def revision(name: Any) -> str | None:
        return since.get((table.name, str(name)))

    columns = [
        Column(
            column.name,
            next((name for name, (type_, _) in TYPES.items() if column.type is type_), str(column.type).lower()),
            bool(column.nullable),
            column.primary_key,
            revision(column.name),
            described.of_column(names, table.name, column.name),
        )
        for column in table.columns
    ]
    unique: list[Any] = [one for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
    indexes = [
        Index(str(one.name), tuple(column.name for column in one.columns), one in unique, revision(one.name))
        for one in (*unique, *table.indexes)
    ]
    parents = [key.referred_table.name for key in table.foreign_key_constraints]
    return Table(
        table.name,
        described.of_table(names, table.name),
        revision(""),
        tuple(columns),
        tuple(sorted(indexes)),
        next(iter(parents), None),
    )


def _since(names: Names) -> dict[tuple[str, str], str]:
    """Return which revision brought each table (under ""), column and index: each is run, and looked at what is new."""
    found: dict[tuple[str, str], str] = {}
    with open_db("sqlite://", table_name=names.sessions) as db:
        for revision in REVISIONS:
            db.upgrade_schema(revision)
            look = sa.inspect(db.db_engine)
            for table in set(names.tables) & set(look.get_table_names()):
                there = (*look.get_columns(table), *look.get_indexes(table), *look.get_unique_constraints(table))
                for name in ("", *(str(one["name"]) for one in there)):
                    found.setdefault((table, name), revision)
    return found


def typed() -> dict[str, dict[str, str]]:
    """Return what each type of column is called on each database."""
    made = {title: make_url(url).get_dialect()() for title, url in DATABASES.items()}
    return {
        name: {title: type_.compile(dialect=dialect) for title, dialect in made.items()}
        for name, (type_, _) in TYPES.items()
    }


def is_many(table: Table) -> bool:
    """Whether a table may have several rows for one of the table that it refers to."""
    return len([column for column in table.columns if column.primary_key]) > 1


# -- as text --------------------------------------------------------------------------------------


def markdown(names: Names) -> str:
    """Return docs/schema.md."""
    return "\n".join([*_introduction(names), *(line for table in tables(names) for line in _section(table))]) + "\n"


def _introduction(names: Names) -> Iterator[str]:
    yield from (
        "# The tables",
        "",
        "<!-- Written by: agno-store schema --markdown > docs/schema.md -->",
        "",
        "One store is one `table_name` in one schema; all its other names are derived from it, so that any number of",
        f"stores can live in one database. With the name `{names.sessions}`:",
        "",
        "| table | what it holds | since |",
        "|---|---|---|",
    )
    yield from (f"| `{table.name}` | {table.what} | {table.since or ''} |" for table in tables(names))
    yield (
        f"| `{names.version}` | the revision the tables are at; one more row for "
        "[columns of your own](howto/own-columns.md) | |"
    )
    yield f"| `{names.upgrader}` | who is upgrading; only on a cluster of MySQL or MariaDB servers | |"
    yield from ("", "![The tables of a store, and which of them refers to which](schema.svg)", "")
    yield from (f"| type | {' | '.join(DATABASES)} | |", "|---" * (len(DATABASES) + 2) + "|")
    for name, on in typed().items():
        cells = " | ".join(f"`{on[title]}`" for title in DATABASES)
        yield f"| {name} | {cells} | {TYPES[name][1]} |"
    yield from (
        "",
        "Every key begins with `session_id`, so that the tables can be partitioned or distributed by it, and so that",
        '"the last runs of a session" is one range of one index. `agno-store schema` shows all this for any name,',
        "`--svg` draws it, `--erd` does so for Mermaid, and `--json` is for programs.",
    )


def _section(table: Table) -> Iterator[str]:
    yield from ("", f"## {table.name}", "", "| column | type | | since |", "|---|---|---|---|")
    for column in table.columns:
        yield f"| `{column.name}` | {_kind(column)} | {column.what} | {column.since or ''} |"
    key = ", ".join(column.name for column in table.columns if column.primary_key)
    yield from ("", f"Primary key: `({key})`.")
    if table.refers_to:
        yield f"`session_id` refers to `{table.refers_to}` with `ON DELETE CASCADE`."
    if table.indexes:
        yield from ("", "Indexes:", "")
    for index in table.indexes:
        unique = ", unique" if index.unique else ""
        yield f"- `({', '.join(index.columns)})`{unique}, since {index.since}: `{index.name}`"


def _kind(column: Column) -> str:
    return column.type if not column.nullable else f"{column.type}, or none"


def erd(names: Names) -> str:
    """Return the tables as a diagram of Mermaid's."""
    lines, found = ["erDiagram"], tables(names)
    for table in found:
        lines.append(f"    {_entity(table.name)} {{")
        lines += [
            f"        {column.type} {_word(column.name)}{' PK' if column.primary_key else ''}"
            for column in table.columns
        ]
        lines.append("    }")
    for table in found:
        if table.refers_to:
            many = "o{" if is_many(table) else "o|"
            lines.append(f'    {_entity(table.refers_to)} ||--{many} {_entity(table.name)} : "session_id"')
    return "\n".join(lines) + "\n"


def _entity(name: str) -> str:
    quoted = name.replace('"', "'")
    return name if re.fullmatch(r"\w+", name, re.ASCII) else f'"{quoted}"'


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)
