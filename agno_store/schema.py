"""Which revision a store is at, found with one SELECT and without importing Alembic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError

from agno_store import release
from agno_store.dialects import Dialect, of_url
from agno_store.errors import SchemaBehind, SchemaConflict, SchemaMissing, SchemaTooNew
from agno_store.names import Names
from agno_store.statements import Statements
from agno_store.tables import HEAD, REVISIONS
from agno_store.urls import redacted
from agno_store.valued import Valued

IN_STEP, MISSING, BEHIND, AHEAD = "in step", "missing", "behind", "ahead"


@dataclass(frozen=True, eq=False, repr=False)
class SchemaStatus(Valued):
    """Where a store's tables stand. ``state`` is 'in step', 'missing', 'behind' or 'ahead'.

    ``url`` is the database's, without its secrets. ``works_with`` is the oldest release that works with a store
    that is ahead of this one, where the store says it; ``application`` is the revision of an application's own
    branch, where this store was given one; ``for_release`` the release of agno_store that was asked about.
    ``current`` is the revision found, ``head`` the one that this release needs, ``pending`` those between them.
    """

    table: str
    schema: str | None
    state: str
    current: str | None
    head: str
    pending: tuple[str, ...]
    url: str
    works_with: str | None = None
    application: str | None = None
    for_release: str = release.__version__

    @classmethod
    def of(cls, names: Names, current: str | None, url: str, works_with: str | None = None) -> SchemaStatus:
        known = current is None or current in REVISIONS
        after = REVISIONS.index(current) + 1 if current in REVISIONS else 0
        pending = REVISIONS[after:] if known else ()
        state = AHEAD if not known else MISSING if current is None else BEHIND if pending else IN_STEP
        return cls(names.sessions, names.schema, state, current, HEAD, pending, url, works_with)

    def with_application(self, application: str | None, pending: Sequence[str]) -> SchemaStatus:
        """Return the status with that of an application's branch."""
        state = BEHIND if pending and self.state == IN_STEP else self.state
        return replace(self, application=application, pending=(*self.pending, *pending), state=state)

    @property
    def in_step(self) -> bool:
        """Whether the store is at the revision that this release needs."""
        return self.state == IN_STEP

    @property
    def usable(self) -> bool:
        """Whether the release works with the store: in step, or ahead and known to be compatible."""
        if self.state != AHEAD or self.works_with is None:
            return self.in_step
        try:
            return release.order(self.for_release) >= release.order(self.works_with)
        except ValueError:  # said in a way that only newer releases understand
            return False

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON can say it."""
        return {**asdict(self), "pending": list(self.pending), "usable": self.usable}

    def raise_unless_usable(self) -> None:
        """Raise SchemaMissing, SchemaBehind or SchemaTooNew, with the command to run."""
        if self.usable:
            return
        names = Names(self.table, self.schema)
        upgrade = names.command("upgrade", self.url)
        about: dict[str, Any] = {"store": str(names), "current": self.current, "head": self.head}
        if self.state == MISSING:
            parsed = make_url(self.url)
            is_there = of_url(parsed).is_there(parsed)
            so = "." if is_there else f", nor is there a file {parsed.database}; is the URL right?"
            raise SchemaMissing(f"{names} has no tables yet{so} Run: {upgrade}", **about)
        if self.state == BEHIND:
            raise SchemaBehind(
                f"{names} is at revision {self.current}; this release needs {self.head}. "
                f"Run: {upgrade}  (or set auto_upgrade_schema=True)."
                if self.current != self.head
                else f"{names}: the application's revisions {', '.join(self.pending)} are pending. Run: {upgrade}  (or "
                "set auto_upgrade_schema=True).",
                **about,
            )
        assert self.current is not None
        raise too_new(names, self.current, self.works_with)


def too_new(names: Names, current: str, works_with: str | None) -> SchemaTooNew:
    """Return the error for a store at a revision that this release does not know."""
    needed = f" It works with agno_store {works_with} or later." if works_with else ""
    return SchemaTooNew(
        f"{names} is at revision {current}, which this release ({release.__version__}, up to {HEAD}) does not know: a "
        f"newer one has upgraded it.{needed} Nothing was changed. Run: pip install --upgrade agno-store",
        store=str(names),
        current=current,
        head=HEAD,
    )


def is_own(revision: str) -> bool:
    """Whether a revision is one of ours, known or not; the others are of an application's branch."""
    return len(revision) == 4 and revision.isdecimal()


def own_revision(heads: Iterable[str], names: Names) -> str | None:
    """Return ours of the rows in a version table; None where there is no row at all.

    Without a row of ours it is another's, as a release that numbers its revisions otherwise would leave it.
    Raises SchemaConflict where there are several.
    """
    rows = sorted(heads)
    own = [head for head in rows if is_own(head)]
    if len(own) > 1:
        raise SchemaConflict(
            f"{names} is at several revisions, says its version table {names.version}: {', '.join(own)}. Nothing was "
            "changed. Delete the rows that are wrong; agno-store stamp records the right one after looking at the "
            "tables.",
            store=str(names),
            head=HEAD,
        )
    return next(iter(own or rows), None)


def status(engine: Engine, dialect: Dialect, names: Names, sql: Statements) -> SchemaStatus:
    """Return where the tables stand. Writes nothing."""
    url = redacted(engine.url)
    if not dialect.is_there(engine.url):
        return SchemaStatus.of(names, None, url)
    found = heads(engine, dialect, names, sql)
    current = own_revision(found, names)
    if current is None or current in REVISIONS:
        return SchemaStatus.of(names, current, url)
    return SchemaStatus.of(names, current, url, works_with(engine, dialect, names, sql, current))


def heads(engine: Engine, dialect: Dialect, names: Names, sql: Statements) -> list[str]:
    """Return the rows of the version table; none where it is not there. Writes nothing."""
    try:
        return _read(engine, dialect, names, sql)
    except DBAPIError as error:
        if dialect.is_denied(error):  # a table that may not be read is not one that is missing
            raise
        # What the driver says of a table that is not there differs; whether it is there does not.
        with dialect.connected(engine) as connection:
            look = sa.inspect(connection)
            there = look.has_table(names.version, schema=names.schema)
            if not there:
                dialect.rights.refuse_hidden(connection, names)
            elif "version_num" not in (columns := columns_of(look, names.version, names.schema)):
                raise not_ours(names, names.version, others(columns)) from error
        # It may be there by now, because another process has just made it.
        return _read(engine, dialect, names, sql) if there else []


def columns_of(look: sa.Inspector, table: str, schema: str | None) -> frozenset[str]:
    """Return the names of the columns of a table."""
    return frozenset(column["name"] for column in look.get_columns(table, schema=schema))


def others(columns: Set[str]) -> str:
    """Say what a table with these columns looks like."""
    listed = ", ".join(sorted(columns)[:6])
    return f"another application's, with the columns {listed}{' ...' if len(columns) > 6 else ''}"


def not_ours(names: Names, table: str, looks_like: str, current: str | None = None, way: str = "") -> SchemaConflict:
    """Return the error for a table that has a name of ours; ``way`` says how to bring in what it holds."""
    return SchemaConflict(
        f"The table {table} is there already and is not one of agno_store's: it looks like {looks_like}. Nothing was "
        f"changed. Give the store a name of its own with table_name= (--table).{way}",
        store=str(names),
        current=current,
        head=HEAD,
    )


def _read(engine: Engine, dialect: Dialect, names: Names, sql: Statements) -> list[str]:
    with dialect.transaction(engine, writes=False) as connection:
        dialect.refuse_lookalike(connection, names)
        return rows(connection, sql)


def lacking(engine: Engine, dialect: Dialect, names: Names) -> list[str]:
    """Return the tables that a store at head lacks, asked for with one query where it has them. Writes nothing."""
    with dialect.connected(engine) as connection:
        look = sa.inspect(connection)
        listed = look.get_table_names(schema=names.schema)
        # Not listed are those elsewhere in the search path, and on MySQL what the account has no right to.
        unlisted = [table for table in names.tables if table not in listed]
        return [table for table in unlisted if not _is_there(look, dialect, table, names.schema)]


def _is_there(look: sa.Inspector, dialect: Dialect, table: str, schema: str | None) -> bool:
    try:
        return look.has_table(table, schema=schema)
    except DBAPIError as error:
        if not dialect.is_denied(error):
            raise
        return True  # a table that may not be read is not one that is missing


def rows(connection: Connection, sql: Statements) -> list[str]:
    """Return the rows of the version table, which must be there."""
    return [revision for revision in connection.execute(sql.revisions).scalars() if revision is not None]


def works_with(engine: Engine, dialect: Dialect, names: Names, sql: Statements, revision: str) -> str | None:
    """Return the oldest release that works with a revision, as was noted when it was applied. Writes nothing."""
    with dialect.connected(engine) as connection:
        return noted(connection, names, sql, revision)


def noted(connection: Connection, names: Names, sql: Statements, revision: str) -> str | None:
    """Return the same, read on a connection."""
    if not sa.inspect(connection).has_table(names.upgrades, schema=names.schema):
        return None
    found: str | None = connection.scalar(sql.works_with, {"revision": revision})
    return found
