"""What Alembic is told about one store, whoever drives it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store.dialects import Scope, by_name
from agno_store.errors import ConfigurationError
from agno_store.migrations.chain import Chain, Position, heads_of
from agno_store.names import Names
from agno_store.tables import Extend, metadata

_CAST = re.compile(r"(?:::[\w ]+(?:\(\d+\))?)+$")
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_NOW = "current_timestamp"
_SAME: dict[str, str | bool] = {"0": False, "false": False, "1": True, "true": True, "now": _NOW, _NOW: _NOW}


class Context(MigrationContext):
    """Alembic's context, blind for the revisions of applications that are not this one."""

    @classmethod
    def of(cls, connection: Connection, names: Names, chain: Chain, **more: Any) -> Context:
        """Return a context for a store, online on ``connection``."""
        return cls(connection.dialect, connection, options(names, script=chain.script, **more))

    @classmethod
    def offline(cls, dialect: SqlDialect, names: Names, chain: Chain, start: Position, **more: Any) -> Context:
        """Return a context that writes down what it would send to a store that is at ``start``."""
        more |= {"as_sql": True, "literal_binds": True, "transactional_ddl": False}
        return cls(dialect, None, options(names, script=chain.script, starting_rev=list(heads_of(start)), **more))

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        """The same as Alembic's, where a revision is a transaction of its own.

        On SQLite, where the whole upgrade is one, it is nothing. Raises ConfigurationError where it was asked for
        one transaction: in a script, a rehearsal or a caller's.
        """
        dialect = by_name(self.dialect.name)
        if dialect.scope(pooled=False) is Scope.UPGRADE:
            yield
            return
        theirs = self._transaction is None and self._in_connection_transaction()
        if dialect.ddl_rolls_back if self.as_sql else theirs:
            raise ConfigurationError(
                "A revision does something outside of a transaction (autocommit_block), which cannot be part of a "
                "larger one: of a script, a rehearsal, connection= or behind a pooler. Nothing was changed. Run the "
                "upgrade itself, with a direct connection."
            )
        with super().autocommit_block():
            yield

    def get_current_heads(self) -> tuple[str, ...]:
        known = {script.revision for script in self.opts["script"].walk_revisions()}
        return tuple(head for head in super().get_current_heads() if head in known)


def options(n: Names, extend: Extend | None = None, **more: Any) -> dict[str, Any]:
    """Return options of a MigrationContext that make it see this store and no other table."""

    def include_name(name: str | None, type_: str, _parents: Mapping[str, Any]) -> bool:
        if type_ == "schema":
            return name == n.schema
        return type_ != "table" or name in n.tables

    return {
        "version_table": n.version,
        "version_table_schema": n.schema,
        "target_metadata": metadata.__wrapped__(n, extend),  # one of its own, because the comparison changes it
        "include_schemas": n.schema is not None,
        "include_name": include_name,
        "include_object": _leave_generated_to_us,
        "compare_type": True,
        "compare_server_default": _default_differs,
        **more,
    }


def _leave_generated_to_us(item: Any, _name: str | None, type_: str, _reflected: bool, there: Any) -> bool:
    """Let Alembic take generated columns that are on both sides for plain ones.

    It would warn wherever a database spells their SQL in its own way, and fail over compare_server_default.
    """
    if type_ == "table" and there is not None:
        both = [(column, there.columns[column.name]) for column in item.columns if column.name in there.columns]
        for column in (side for sides in both for side in sides):
            if column.computed is not None:
                column.computed = column.server_default = column.server_onupdate = None
    return True


def _default_differs(
    _context: Any, _inspected: Any, declared: Any, there: str | None, default: Any, rendered: str | None
) -> bool | None:
    """Say False where a default is only spelled otherwise ('0' for 0); let Alembic judge the rest, but for texts.

    It would put a text between quotes as it is, even one with quotes, and have PostgreSQL compare that.
    """
    argument = getattr(default, "arg", None)
    if isinstance(argument, str):
        rendered = "'" + argument.replace("'", "''") + "'"
    found, wanted = (_spelled(text) for text in (there, rendered))
    if found == wanted:
        return False
    return True if isinstance(argument, str) and declared.type._type_affinity is sa.String else None


def _spelled(text: str | None) -> str | bool | None:
    """Return a default without what only the spelling adds: PostgreSQL's casts, brackets, quotes."""
    if text is None:
        return None
    plain = _CAST.sub("", text.strip())
    while plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].strip()
    literal = _LITERAL.fullmatch(plain)
    plain = literal[1].replace("''", "'") if literal else plain
    return _SAME.get(plain.lower().removesuffix("()"), plain)
