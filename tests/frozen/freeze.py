"""Freeze the databases of a release: ``python -m tests.frozen.freeze [REVISION ...]``, in its checkout.

Run it with the code that is released, as the last step before it is. It makes a database of every revision, or of
those named, on private servers, and writes ``<release>-<revision>-<backend>.sql`` and ``<release>-contents.json``
beside this file. A release that is frozen stays so: nothing is overwritten.

The newest revision is filled by the release's own calls. To an older one, which this release does not write to, go the
same rows, with the columns and tables that it has. Each file is loaded again and compared before any is written.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event

from agno_store import Names, __version__, open_db
from agno_store.tables import HEAD, REVISIONS
from tests.frozen import BETWEEN, TABLES, Frozen, contents_file, load, read
from tests.frozen.population import populate
from tests.servers import BACKENDS
from tests.servers.plugin import fresh_database, servers

DDL = ("CREATE", "ALTER", "DROP", "RENAME", "COMMENT")


class Table(NamedTuple):
    """The rows of a table, by its key."""

    columns: list[str]
    rows: list[dict[str, Any]]


Dump = dict[str, Table]


def main(revisions: Sequence[str] = ()) -> None:
    """Freeze this release at some revisions, or at all that it knows."""
    if not re.fullmatch(r"\d+(\.\d+)+", __version__):
        raise SystemExit(f"{__version__} is no release: what is frozen stays, so it must be what users get.")
    if unknown := set(revisions) - set(REVISIONS):
        raise SystemExit(f"There is no revision {', '.join(sorted(unknown))}; there are {', '.join(REVISIONS)}.")
    plan = [
        Frozen(revision, variant, __version__)
        for revision in revisions or REVISIONS
        for variant in TABLES
        if variant == "default" or revision == HEAD
    ]
    files = [*(frozen.file(backend) for frozen in plan for backend in BACKENDS), contents_file(__version__)]
    if there := [file.name for file in files if file.exists()]:
        raise SystemExit(f"Frozen already, and nothing was written: {', '.join(there)}.")
    try:
        contents = json.dumps(_freeze(plan), indent=1, allow_nan=False)
        contents_file(__version__).write_bytes(f"{contents}\n".encode())
    except BaseException:  # all of a release, or nothing
        for file in files:
            file.unlink(missing_ok=True)
        raise
    sys.stdout.write("".join(f"{file.name}: {file.stat().st_size} bytes\n" for file in files))


def _freeze(plan: Sequence[Frozen]) -> dict[str, dict[str, Any]]:
    """Write the files of statements, and return the contents."""
    contents: dict[str, dict[str, Any]] = {}
    for backend in BACKENDS:
        for frozen in plan:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                statements, expected = _built(backend, frozen, folder)
                frozen.file(backend).write_bytes(_text(statements).encode())
                found = _loaded(backend, frozen, folder, expected)
            known = contents.setdefault(frozen.revision, {}).setdefault(frozen.variant, found)
            # As text: equal values of other types, or in another order, are not the same.
            assert json.dumps(known) == json.dumps(found), f"{backend} returns something else of {frozen}"
    return contents


def _built(backend: str, frozen: Frozen, folder: Path) -> tuple[list[str], Any]:
    """Make a database with the released code; return its statements, and what must come of them."""
    large = frozen.revision == HEAD and frozen.variant == "default"
    with fresh_database(backend, folder) as url, open_db(url, table_name=frozen.table_name) as db:
        engine = db.db_engine
        with _ddl(engine) as statements:
            db.upgrade_schema(frozen.revision)
        if frozen.revision == HEAD:
            populate(db, large=large)
            rows = _dump(engine)
        else:
            rows = _older(_dump(engine), _newest(backend, frozen, folder), db.names)
        statements[0] = f"-- {_origin(engine, frozen)}\n{statements[0]}"
        return [*statements, *_inserts(engine, backend, rows)], (_shape(engine), rows)


def _newest(backend: str, frozen: Frozen, folder: Path) -> Dump:
    """Return the rows that a store at the newest revision has."""
    with fresh_database(backend, folder) as url, open_db(url, table_name=frozen.table_name) as db:
        db.upgrade_schema()
        populate(db, large=False)
        return _dump(db.db_engine)


def _older(there: Dump, newest: Dump, names: Names) -> Dump:
    """Return the rows of an older database, whose own are its bookkeeping, with those of a newer one."""
    for name, table in there.items():
        if name not in names.tables:
            continue
        table.rows.extend({column: row[column] for column in table.columns} for row in newest[name].rows)
        if name == names.sessions and names.runs not in there:
            for row in table.rows:
                row["next_run_index"] = 0
    return there


def _loaded(backend: str, frozen: Frozen, folder: Path, expected: Any) -> dict[str, Any]:
    """Load a database again, compare it with what was frozen, and return what the release's calls return of it."""
    with fresh_database(backend, folder) as url:
        engine = sa.create_engine(url)
        load(engine, backend, *frozen)
        found = _shape(engine), _dump(engine)
        engine.dispose()
        assert found == expected, f"{frozen.file(backend).name} makes another database than the one that was frozen"
        with open_db(url, table_name=frozen.table_name, auto_upgrade_schema=True) as db:
            return read(db)


# -- looking -----------------------------------------------------------------------------------------


@contextmanager
def _ddl(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that make and change tables, as the database gets them."""
    sent: list[str] = []

    def note(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.split(maxsplit=1)[0].upper() in DDL:
            assert not parameters, f"with parameters: {statement}"
            sent.append(_single(connection, statement).strip())

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _dump(engine: Engine) -> Dump:
    """Return every row of a database, a table after those that it refers to; JSON as the text that is stored."""
    found = {}
    with engine.connect() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        for table in metadata.sorted_tables:
            columns = [sa.cast(c, sa.Text).label(c.name) if isinstance(c.type, sa.JSON) else c for c in table.c]
            rows = connection.execute(sa.select(*columns).order_by(*table.primary_key)).mappings()
            found[table.name] = Table([c.name for c in table.c], [dict(row) for row in rows])
    return found


def _shape(engine: Engine) -> list[str]:
    """Return all that can be reflected of a database besides its rows."""
    kinds = ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints")
    look = sa.inspect(engine)
    return sorted(f"{kind}: {found!r}" for kind in kinds for found in getattr(look, f"get_multi_{kind}")().items())


def _origin(engine: Engine, frozen: Frozen) -> str:
    dialect: Any = engine.dialect
    server = "MariaDB" if getattr(dialect, "is_mariadb", False) else dialect.name
    version = ".".join(map(str, dialect.server_version_info))
    return f"agno_store {frozen.release} at revision {frozen.revision} on {server} {version}; see freeze.py"


# -- writing -----------------------------------------------------------------------------------------


def _text(statements: Sequence[str]) -> str:
    for statement in statements:
        assert BETWEEN not in statement, f"cannot be told from the next one: {statement}"
    return "".join(statement + BETWEEN for statement in statements)


def _inserts(engine: Engine, backend: str, dump: Dump) -> Iterator[str]:
    with engine.connect() as connection:
        quote = connection.dialect.identifier_preparer.quote_identifier
        for name, table in dump.items():
            columns = ", ".join(map(quote, table.columns))
            for row in table.rows:
                into = _single(connection, f"INSERT INTO {quote(name)} ({columns})")
                yield f"{into} VALUES ({', '.join(_literal(row[column], backend) for column in table.columns)})"


def _single(connection: Connection, statement: str) -> str:
    """Return a statement with each % once, which SQLAlchemy doubles for drivers that take it for a placeholder."""
    return statement % () if connection.dialect.paramstyle in ("format", "pyformat") else statement


def _literal(value: Any, backend: str) -> str:
    """Return a value as SQL in one line of visible characters, so that no editor or tool can change it."""
    if value is None:
        return "NULL"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{value!r} cannot be frozen yet")
    if backend == "postgresql":
        return _postgresql(value)
    parts = ["".join(part) for _, part in groupby(value, str.isprintable)] or [""]
    if backend == "sqlite":
        return " || ".join(_quoted(part) if part.isprintable() else _characters(part) for part in parts)
    # Named with its character set, because CONCAT refuses to mix what is from the connection with what is not.
    written = [f"_utf8mb4 {_mysql(part)}" for part in parts]
    return written[0] if len(written) == 1 else f"CONCAT({', '.join(written)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _characters(text: str) -> str:
    return f"char({', '.join(str(ord(character)) for character in text)})"


def _mysql(text: str) -> str:
    return _quoted(text.replace("\\", "\\\\")) if text.isprintable() else f"X'{text.encode().hex()}'"


def _postgresql(text: str) -> str:
    if text.isprintable():
        return _quoted(text)
    escaped = (c if c.isprintable() else f"\\U{ord(c):08x}" for c in text.replace("\\", "\\\\"))
    return f"E{_quoted(''.join(escaped))}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        servers.stop()
