"""Run an upgrade for real, on the real rows, and leave no trace of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from agno_store.dialects import Scope
from agno_store.errors import InvalidArgument, SchemaDrifted
from agno_store.migrations.migrator import Migrator
from agno_store.migrations.running import Report, Running


class _RolledBack(Exception):
    """The rehearsal is over. Never leaves this module."""

    def __init__(self, done: list[str]) -> None:
        super().__init__()
        self.done = done


def rehearse(migrator: Migrator, target: str = "head", on_step: Report | None = None) -> list[str]:
    """Apply the pending revisions up to ``target``, look at the tables, take everything back; return the revisions.

    On PostgreSQL in a transaction that is rolled back, which holds the tables meanwhile; on SQLite in a copy
    of the file. Raises whatever the upgrade would, SchemaDrifted where its tables would not be as declared,
    and InvalidArgument on MySQL and MariaDB, which cannot roll a CREATE or ALTER back.
    """
    if not migrator.dialect.ddl_rolls_back:
        raise InvalidArgument(
            f"{migrator.dialect.title} cannot roll a CREATE or ALTER back, so an upgrade cannot be rehearsed in the "
            "database itself. Nothing was changed. Restore a backup into a second database and upgrade that; "
            "agno-store upgrade --plan says what would happen."
        )
    if migrator.dialect.makes_copies:
        with _copied(migrator) as copy:
            done = copy.upgrade(target, on_step)
            _refuse_drift(copy, target, copy.drift())
            return done
    return _rolled_back(migrator, target, on_step)


def _rolled_back(migrator: Migrator, target: str, on_step: Report | None) -> list[str]:
    wanted = migrator.chain.resolve(target, up=True)

    def work(running: Running) -> None:
        migrator.refuse_foreign(running.connection)
        running.run(wanted, up=True)
        migrator.verify(running.connection, wanted, up=True)
        _refuse_drift(migrator, target, migrator.drift(running.connection))
        raise _RolledBack(running.done)

    try:
        return migrator.patiently(work, on_step, Scope.UPGRADE)
    except _RolledBack as end:
        return end.done


def _refuse_drift(migrator: Migrator, target: str, differences: list[str]) -> None:
    # What is declared are the tables at head; on the way there they are not.
    if target == "head" and differences:
        raise SchemaDrifted(
            f"{migrator.names}: after the upgrade the tables would not be as declared: {'; '.join(differences)}. "
            "Everything was taken back.",
            store=str(migrator.names),
            differences=differences,
        )


@contextmanager
def _copied(migrator: Migrator) -> Iterator[Migrator]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rehearsal.db")
        if migrator.dialect.is_there(migrator.engine.url):
            migrator.dialect.back_up(migrator.engine, file)
        engine = sa.create_engine(migrator.engine.url.set(database=str(file), query={}), poolclass=NullPool)
        versions, extend = migrator.chain.versions, migrator.extend
        yield Migrator(engine, migrator.dialect, migrator.names, versions=versions, extend=extend)
        engine.dispose()
