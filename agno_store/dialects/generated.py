"""Generated columns of SQLite's tables, out of the CREATE TABLE statements that SQLite keeps.

SQLAlchemy reads them with a pattern that goes wrong where there are several, and Alembic's rebuild of a table
would copy them, which SQLite refuses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/ | [(),]
    | [^'"`\[(),/-]+ | .""",
    re.DOTALL | re.VERBOSE,
)
_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


def generated_columns(connection: Connection, table: str, schema: str | None) -> dict[str, str]:
    """Return the generated columns of a table, each with its definition, name included."""
    quote = connection.dialect.identifier_preparer.quote
    pragma = f"PRAGMA {_of(connection, schema)}table_xinfo({quote(table)})"
    generated = {row.name for row in connection.exec_driver_sql(pragma) if row.hidden in (2, 3)}
    if not generated:
        return {}
    [statement] = _kept(connection, schema, "type = 'table' AND name", table)
    definitions = column_definitions(statement)
    return {name: definition for name, definition in definitions.items() if name in generated}


@contextmanager
def without_generated(
    connection: Connection, table: str, schema: str | None, leaving: Collection[str]
) -> Iterator[None]:
    """Take the generated columns of a table and their indexes away meanwhile; those ``leaving`` are left alone."""
    found = generated_columns(connection, table, schema)
    away = {name: definition for name, definition in found.items() if name not in leaving}
    quote, where = connection.dialect.identifier_preparer.quote, _of(connection, schema)
    indexes = [
        str(index["name"])
        for index in (sa.inspect(connection).get_indexes(table, schema=schema) if away else ())
        if away.keys() & set(index["column_names"])
    ]
    statements = [text for name in indexes for text in _kept(connection, schema, "type = 'index' AND name", name)]
    for name in indexes:
        connection.exec_driver_sql(f"DROP INDEX {where}{quote(name)}")
    for name in reversed(away):
        connection.exec_driver_sql(f"ALTER TABLE {where}{quote(table)} DROP COLUMN {quote(name)}")
    yield
    for definition in away.values():
        connection.exec_driver_sql(f"ALTER TABLE {where}{quote(table)} ADD COLUMN {definition}")
    for statement in statements:
        connection.exec_driver_sql(re.sub(r"^(CREATE (?:UNIQUE )?INDEX )", lambda m: m[1] + where, statement))


def column_definitions(statement: str) -> dict[str, str]:
    """Return each column of a CREATE TABLE statement with its definition, its name included."""
    found = {}
    for part in _parts(statement):
        quoted = _TOKEN.match(part) if part[0] in "\"'`[" else None
        word = quoted[0] if quoted else part.split(None, 1)[0]
        if word.upper() not in _CONSTRAINTS:
            found[_plain(word)] = part
    return found


def _parts(statement: str) -> Iterator[str]:
    """Give what stands between the commas of a CREATE TABLE statement."""
    depth, part = 0, ""
    for token in _TOKEN.findall(statement):
        depth -= token == ")"
        if (depth == 1 and token == ",") or (depth == 0 and token == ")"):
            yield part.strip()
            part = ""
        elif depth and not token.startswith(("--", "/*")):
            part += token
        depth += token == "("


def _plain(name: str) -> str:
    """Return a name without its quotes."""
    if name[0] == "[":
        return name[1:-1]
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in "\"'`" else name


def _kept(connection: Connection, schema: str | None, where: str, name: str) -> list[str]:
    """Return the statements that SQLite keeps of a table or an index."""
    find = sa.text(f"SELECT sql FROM {_of(connection, schema)}sqlite_master WHERE {where} = :name")
    return list(connection.execute(find, {"name": name}).scalars())


def _of(connection: Connection, schema: str | None) -> str:
    return f"{connection.dialect.identifier_preparer.quote(schema)}." if schema else ""
