"""A new revision, written by comparing what is declared with what the revisions make.

They are run on a scratch database in memory, under names that nobody has. What is written runs unedited on
every database, for a store of any name and schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.operations import Operations, ops
from alembic.script import Script
from alembic.util import rev_id
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection
from sqlalchemy.exc import CompileError, DBAPIError, SQLAlchemyError

from agno_store import release
from agno_store.dialects import SQLITE
from agno_store.errors import ConfigurationError, InvalidArgument
from agno_store.migrations.chain import BRANCH, Chain, Position, chain
from agno_store.migrations.context import Context
from agno_store.migrations.declared import Declared
from agno_store.migrations.parametrise import MARKERS, plain
from agno_store.migrations.portable import refuse_expressions, refuse_unportable
from agno_store.migrations.rendering import Python, rendered
from agno_store.migrations.resume import Resumable
from agno_store.migrations.scratch import scratch
from agno_store.migrations.scripts import script_directory
from agno_store.names import Names
from agno_store.tables import Extend, metadata


def generate(message: str, revisions: Chain, extend: Extend | None = None, *, empty: bool = False) -> Path | None:
    """Write the revision that makes the tables what is declared, and return its file; None if they are that.

    It becomes one of the application's where ``revisions`` has a folder of one, else one of ours. ``empty`` writes
    one without comparing. Raises ConfigurationError where what is declared cannot be made on every database.
    """
    message = " ".join(message.split())
    if not message:
        raise InvalidArgument("A revision needs a few words that say what it brings.")
    metadata(Names(), extend)  # so that what is wrong with it is said with a name that is known
    if empty:
        return Path(_file(message, revisions, Python([]), Python([])).path)
    with _brought_to_head(revisions) as store:
        try:
            upgrades = store.changes(revisions, metadata.__wrapped__(MARKERS, extend))
            if not upgrades.ops:
                return None
            if revisions.versions is not None:
                _refuse_changes_of_ours(upgrades)
            code = rendered(upgrades), rendered(upgrades.reverse())
            script = _file(message, revisions, *code)
            try:
                _try(store, script, revisions, extend, code[0])
            except BaseException:
                Path(script.path).unlink()
                raise
        except (CompileError, DBAPIError) as error:
            raise ConfigurationError(f"What is declared cannot be made on SQLite: {_reason(error)}") from error
    return Path(script.path)


# -- what is declared, and what there is ------------------------------------------------------------------


@dataclass(frozen=True)
class _Store:
    """A scratch store, with all revisions applied."""

    connection: Connection
    op: Operations

    def changes(self, revisions: Chain, meta: sa.MetaData, *, but: Any = ()) -> ops.UpgradeOps:
        """Return what has to be done to make the tables those of ``meta``."""
        declared = Declared([*revisions.every, *but])
        declared.refuse_changed_generation(meta)
        refuse_expressions(meta, declared.indexes)
        more: dict[str, Any] = {
            "compare_type": declared.type_differs,
            "compare_server_default": declared.default_differs,
        }
        context = Context.of(self.connection, MARKERS, revisions, **more)
        found = produce_migrations(context, meta).upgrade_ops
        assert found is not None
        for o in found.ops:
            if isinstance(o, ops.ModifyTableOps):
                o.ops = declared.completed(o.ops)
        refuse_unportable(found, meta)
        return found


@contextmanager
def _brought_to_head(revisions: Chain) -> Iterator[_Store]:
    with scratch() as engine, engine.connect() as connection:
        connection.exec_driver_sql(f"ATTACH DATABASE ':memory:' AS {MARKERS.schema}")
        steps = revisions.between(Position(), revisions.resolve("head", up=True), up=True)
        context = Context.of(connection, MARKERS, revisions, fn=lambda *_: steps, transactional_ddl=True)
        op = Resumable(context, SQLITE)
        try:
            with context.begin_transaction():
                context.run_migrations(op=op, n=MARKERS)
        except (CompileError, DBAPIError) as error:
            raise ConfigurationError(
                f"The revisions that are there fail on SQLite, where they are tried: {_reason(error)}"
            ) from error
        yield _Store(connection, op)


def _refuse_changes_of_ours(changes: ops.UpgradeOps) -> None:
    """Raise ConfigurationError where an application would change more than its own columns."""
    tables = metadata(MARKERS).tables
    for o in changes.ops:
        table = plain(getattr(o, "table_name", ""))
        if not isinstance(o, ops.ModifyTableOps):
            raise ConfigurationError(f"agno_store's revisions do not make the table {table} as it is declared.")
        ours = tables[f"{MARKERS.schema}.{o.table_name}"].columns
        for inner in o.ops:
            column = inner.column.name if isinstance(inner, ops.AddColumnOp) else getattr(inner, "column_name", None)
            if column is not None and column in ours:
                raise ConfigurationError(f"{table}.{column} would be changed, which is not the application's.")


def _reason(error: SQLAlchemyError) -> str:
    return plain(f"{getattr(error, 'orig', None) or error}.")


def _try(store: _Store, script: Script, revisions: Chain, extend: Extend | None, upgrades: Python) -> None:
    """Run a revision up and down, and make sure that it is what it should be.

    Raises ConfigurationError where something of what is declared is not in it.
    """
    script.module.upgrade(store.op, MARKERS)
    left = rendered(store.changes(revisions, metadata.__wrapped__(MARKERS, extend), but=[script]))
    if left.text:
        raise ConfigurationError(
            f"What is declared cannot all be written into a revision. After it there would still be:\n{left.text}"
        )
    script.module.downgrade(store.op, MARKERS)
    again = rendered(store.changes(revisions, metadata.__wrapped__(MARKERS, extend)))
    if again.text != upgrades.text:
        raise ConfigurationError(f"The downgrade does not lead back. After it there would be:\n{again.text}")


# -- the file ---------------------------------------------------------------------------------------------


def _file(message: str, revisions: Chain, upgrades: Python, downgrades: Python) -> Script:
    directory = script_directory(revisions.versions, revisions.scripts)
    directory.messaging_opts = {"quiet": True}
    branch = _own(revisions) if revisions.versions is None else _application(revisions)
    directory.file_template = branch.pop("file_template")
    try:
        script = directory.generate_revision(
            message=message,
            said=json.dumps(message, ensure_ascii=False)[1:-1],
            upgrades=upgrades.text or "    pass",
            downgrades=downgrades.text or "    pass",
            imports=_imports(upgrades.uses | downgrades.uses or {"sa", "types"}, own=revisions.versions is None),
            **branch,
        )
    except (CommandError, OSError) as error:
        raise ConfigurationError(f"The revision cannot be written: {error}") from error
    chain.cache_clear()
    assert script is not None
    return script


_WORKS_WITH = "  # the oldest release that works with these tables; raise it if this one breaks older ones"


def _own(revisions: Chain) -> dict[str, Any]:
    head = revisions.own[-1]
    revision = f"{int(head.revision) + 1:04d}"
    return {
        "revid": revision,
        "head": head.revision,
        "version_path": str(Path(head.path).parent),
        "file_template": "%(rev)s_%(slug)s",
        "facts": [
            f'revision = "{revision}"',
            f'down_revision = "{head.revision}"',
            f'release = "{".".join(map(str, release.order(release.__version__)))}"',
            f'works_with = "{head.module.works_with}"{_WORKS_WITH}',
        ],
    }


def _application(revisions: Chain) -> dict[str, Any]:
    head = revisions.application[-1].revision if revisions.application else None
    revision = rev_id()
    return {
        "revid": revision,
        "head": head or "base",
        "version_path": str(revisions.versions),
        "file_template": f"{datetime.now(timezone.utc):%Y_%m_%d}_%(rev)s_%(slug)s",
        "facts": [
            f'revision = "{revision}"',
            f'down_revision = "{head}"' if head else "down_revision = None",
            *([] if head else [f'branch_labels = ("{BRANCH}",)']),
            f'requires = "{revisions.own[-1].revision}"',
        ],
    }


def _imports(names: set[str], *, own: bool) -> str:
    lines = ["import sqlalchemy as sa"] if "sa" in names else []
    dialects = names & {"mysql", "postgresql", "sqlite"}
    lines += [f"from sqlalchemy.dialects import {', '.join(sorted(dialects))}"] if dialects else []
    ours = ["from agno_store import types"] if "types" in names else []
    # In an application's folder agno_store is one of the packages from elsewhere.
    return "\n".join([*lines, *([""] if own and lines and ours else []), *ours])
