"""``agno-store upgrade --sql``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import make_url

from agno_store import failures
from agno_store.cli.options import opened
from agno_store.dialects import Dialect, by_name
from agno_store.errors import ConfigurationError, InvalidArgument
from agno_store.names import Names

if TYPE_CHECKING:
    from agno_store.migrations.already import Already
    from agno_store.migrations.chain import Chain, Position, Target


def written(
    db_url: str | None,
    table: str,
    schema: str | None,
    options: dict[str, Any],
    *,
    dialect: str | None,
    start: str | None,
    to: str,
) -> str:
    """Return the SQL from ``start``, or from where the store is, to ``to``.

    Raises ConfigurationError for a schema on a database that has none, InvalidArgument for an unknown revision, and
    SchemaConflict where something is in the way of an upgrade.
    """
    from agno_store.migrations import Migrator
    from agno_store.migrations.chain import chain

    if dialect is None:
        with closing(opened(db_url, table, schema, **options)) as db, failures.translated(db):
            migrator = Migrator.of(db)
            migrator.refuse_foreign()
            position = migrator.position() if start is None else _at(migrator.chain, start)
            if start is None and not _way(migrator.chain, position, to):
                return f"-- {db.names} is at {to} already: there is nothing to run.\n"
            made_for, wanted = _named(type(db.db_engine.dialect)), (migrator.chain, position, to)
            if not db.dialect.is_there(db.db_engine.url):  # to connect would make it
                return _script(db.names, db.dialect, made_for, *wanted)
            return _for_this_database(db, made_for, *wanted, looks=start is None)
    kind = by_name(dialect)
    if schema is not None and not kind.has_schemas:
        raise ConfigurationError(f"{kind.title} has no schemas: leave db_schema= (--schema) out.")
    made_for = _named(make_url(f"{kind.driver_names[dialect]}+{kind.default_driver}://").get_dialect())
    revisions = chain(options.get("versions"))
    return _script(Names(table, schema), kind, made_for, revisions, _at(revisions, start or "base"), to)


def _for_this_database(db: Any, made_for: Any, revisions: Chain, start: Position, to: str, *, looks: bool) -> str:
    from agno_store.migrations.already import Already
    from agno_store.migrations.context import Context

    with db.dialect.connected(db.db_engine) as connection:
        made_for.is_mariadb = getattr(connection.dialect, "is_mariadb", False)
        already = Already(Context.of(connection, db.names, revisions), connection, db.dialect)
        # Of a store that is said to be elsewhere nothing is known.
        return _script(db.names, db.dialect, made_for, revisions, start, to, already if looks else None)


def _named(sql_dialect: Any) -> Any:
    # With another style of parameters every % in a name or a text would be doubled.
    return sql_dialect(paramstyle="named")


def _at(revisions: Chain, name: str) -> Position:
    return revisions.position_at(revisions.resolve(name, up=True))


def _way(revisions: Chain, start: Position, to: str) -> tuple[Target, bool] | None:
    """Return the target, and whether it is up or down from the start; None where there is nothing in between."""
    for up in (True, False):
        target = revisions.resolve(to, up=up)
        if revisions.between(start, target, up=up):
            return target, up
    return None


def _script(
    names: Names,
    dialect: Dialect,
    made_for: Any,
    revisions: Chain,
    start: Position,
    to: str,
    already: Already | None = None,
) -> str:
    from agno_store.migrations.offline import Script

    way = _way(revisions, start, to)
    if way is None:
        raise InvalidArgument(f"{names} is at {to} already: there is nothing to write.")
    return Script(names, dialect, made_for, revisions, start, *way, already).text()
