"""What the tables of one store are called.

One store is one ``table_name`` in one schema. Every other name, down to the last index, is derived
from it, so that any number of stores can live in one database without meeting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agno_store.errors import ConfigurationError
from agno_store.valued import Valued

DEFAULT = "agent_sessions"

IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer identifiers off; MySQL allows 64 characters.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS"""

LONGEST_DERIVED = 26
"""Bytes that the longest derived name, ``uq_<table>_runs_session_id_run_id``, adds to the table's."""

LONGEST = IDENTIFIER_BYTES - LONGEST_DERIVED

_UNNAMEABLE = "[`\x00-\x1f\ud800-\udfff\U00010000-\U0010ffff]"


@dataclass(frozen=True, eq=False, repr=False)
class Names(Valued):
    """The names of one store's tables: ``sessions`` is the one its owner chose.

    Raises ConfigurationError for a name that not every database can have: ``docs/howto/several-stores.md``.
    """

    sessions: str = DEFAULT
    schema: str | None = None

    def __post_init__(self) -> None:
        _check(self.sessions, "table_name", LONGEST)
        if self.schema is not None:
            _check(self.schema, "db_schema", IDENTIFIER_BYTES)

    @property
    def runs(self) -> str:
        """The table of runs."""
        return f"{self.sessions}_runs"

    @property
    def summaries(self) -> str:
        """The table of summaries."""
        return f"{self.sessions}_summaries"

    @property
    def media(self) -> str:
        return f"{self.sessions}_media"

    @property
    def version(self) -> str:
        """Alembic's table, with the revision that the store is at."""
        return f"{self.sessions}_alembic_version"

    @property
    def upgrades(self) -> str:
        """The journal: when which revision was applied, and by which release."""
        return f"{self.sessions}_upgrades"

    @property
    def upgrader(self) -> str:
        """On a MySQL cluster, whose locks hold on one node only: the row of whoever is upgrading."""
        return f"{self.sessions}_upgrader"

    @property
    def own(self) -> tuple[str, ...]:
        """Every table of the store: what the revisions make, and what the upgrades keep their books in."""
        return (*self.tables, self.version, self.upgrades, self.upgrader)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that the revisions make."""
        return self.sessions, self.runs, self.summaries, self.media

    def qualify(self, table: str, column: str) -> str:
        """Name a column for a foreign key: ``schema.table.column``."""
        return ".".join(part for part in (self.schema, table, column) if part)

    def __str__(self) -> str:
        return f"{self.schema}.{self.sessions}" if self.schema else self.sessions

    def command(self, verb: str, url: str) -> str:
        """The command line that does ``verb`` to this store; ``url`` without its password."""
        import shlex

        words = ["agno-store", *verb.split(), "--db-url", url]
        if self.sessions != DEFAULT:
            words += ["--table", self.sessions]
        if self.schema:
            words += ["--schema", self.schema]
        return shlex.join(words)


def _is_nameable(name: str) -> bool:
    # Most names are identifiers in ASCII, for which the pattern need not be compiled.
    return (name.isascii() and name.isidentifier()) or re.search(_UNNAMEABLE, name) is None


def _check(name: str, argument: str, limit: int) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"{argument} must be a name, not {name!r}.")
    if "." in name:
        hint = "; name the schema with db_schema=" if argument == "table_name" else ""
        raise ConfigurationError(f"{argument} {name!r} holds a dot{hint}.")
    if name != name.strip() or not _is_nameable(name):
        raise ConfigurationError(
            f"{argument} {name!r} begins or ends with a space, or holds a backtick, a control character or one "
            "outside Unicode's basic plane: not every database can have such a name, or read it back."
        )
    size = len(name.encode())
    if size > limit:
        raise ConfigurationError(
            f"{argument} {name!r} is {size} bytes long; the limit is {limit}, because the names of indexes are "
            f"made from it and PostgreSQL allows {IDENTIFIER_BYTES} bytes. Choose a shorter one."
        )
