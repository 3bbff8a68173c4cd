"""What a PostgreSQL server is looked at for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from agno_store.dialects.findings import ERROR, OK, WARNING, Check, Finding, Health, Look
from agno_store.dialects.postgresql import upgrader
from agno_store.dialects.rights import Need, owners_command, quoted
from agno_store.dialects.rights_postgresql import Place, Table, grants
from agno_store.tables import metadata

OLDEST = 13
"""The oldest release that is still tested somewhere; PostgreSQL itself has given up those before it."""

_MAY_CREATE = sa.text(
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = :schema) "
    "THEN has_schema_privilege(:schema, 'CREATE') AND has_schema_privilege(:schema, 'USAGE') "
    "ELSE has_database_privilege(current_database(), 'CREATE') END"
)


class PostgreSQLHealth(Health):
    isolation = ("READ COMMITTED", "AUTOCOMMIT")

    @property
    def checks(self) -> Mapping[str, Check]:
        return {
            "server": _version,
            "writable": _writable,
            "schema": _schema,
            "rights": _rights,
            "encoding": _encoding,
            "indexes": _indexes,
            "lock": _lock,
        }


def major(version: str) -> int:
    """Return the release that a server says it is, or will be once it is out: 18 of 18.1 and of 18beta1."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _version(look: Look) -> Iterator[Finding]:
    version = str(look.connection.scalar(sa.text("SELECT current_setting('server_version')"))).partition(" ")[0]
    if major(version) < OLDEST:
        yield Finding(
            "server",
            WARNING,
            f"PostgreSQL {version} is older than what agno_store is tested with",
            f"Upgrade the server to PostgreSQL {OLDEST} or later",
        )
    else:
        yield Finding("server", OK, f"PostgreSQL {version}")


def _writable(look: Look) -> Iterator[Finding]:
    standby = look.connection.scalar(sa.text("SELECT pg_is_in_recovery()"))
    read_only = look.connection.scalar(sa.text("SELECT current_setting('transaction_read_only')")) == "on"
    if standby:
        yield Finding(
            "writable",
            WARNING,
            "this server is a standby: it can only be read",
            "For writing, connect to the primary: host= of each server and target_session_attrs=read-write in the URL",
        )
    elif read_only:
        role = quoted(look.connection, str(look.connection.scalar(sa.text("SELECT current_user"))))
        yield Finding(
            "writable",
            WARNING,
            "transactions of this role can only read (default_transaction_read_only)",
            f"For writing: ALTER ROLE {role} SET default_transaction_read_only = off;",
        )
    else:
        yield Finding("writable", OK, "the server takes writes")


def _schema(look: Look) -> Iterator[Finding]:
    place = Place.of(look.connection, look.names)
    there = place.tables(look.names)
    elsewhere = sorted({table.schema for table in place.namesakes} - {table.schema for table in there})
    found = there[0].schema if there else place.schema
    if not there and elsewhere:
        yield Finding(
            "schema",
            WARNING,
            f"there is no store in the schema {found}, but one of that name in {', '.join(elsewhere)}",
            f"Give db_schema={elsewhere[0]!r} (--schema {elsewhere[0]}), if that is the one you mean",
        )
    elif there and found != place.schema:
        yield Finding(
            "schema",
            WARNING,
            f"the store is in the schema {found}, but the search path {', '.join(place.path)} has new tables made in "
            f"{place.schema}: an upgrade will refuse",
            f"Give db_schema={found!r} (--schema {found})",
        )
    else:
        yield Finding("schema", OK, f"the schema is {found}")


def _rights(look: Look) -> Iterator[Finding]:
    names, place = look.names, Place.of(look.connection, look.names)
    there = place.tables(names)
    schema = there[0].schema if there else place.schema
    may_create = bool(look.connection.scalar(_MAY_CREATE, {"schema": schema}))
    if not there:
        yield _of_nothing(look, place, may_create)
        return
    reads, writes = place.allows(names, Need.READ), place.allows(names, Need.WRITE)
    upgrades = may_create and all(table.owned for table in there)
    lacking = Need.READ if not reads else Need.WRITE if not writes else None
    may = [what for what, granted in (("read", reads), ("write", writes), ("upgrade", upgrades)) if granted]
    said = f"the role {place.role} may {', '.join(may) or 'not even read'}"
    if lacking is not None:
        cure = grants(look.connection, names, place, lacking)
        yield Finding("rights", ERROR if lacking is Need.READ else WARNING, said, cure)
    else:
        yield Finding("rights", OK, said + ("" if upgrades else f"; upgrades are for {_owner(there)}"))


def _owner(tables: tuple[Table, ...]) -> str:
    return ", ".join(sorted({table.owner for table in tables}))


def _of_nothing(look: Look, place: Place, may_create: bool) -> Finding:
    said = f"there are no tables yet, and the role {place.role} may {'' if may_create else 'not '}make them"
    if may_create:
        return Finding("rights", OK, said)
    cure = grants(look.connection, look.names, place, Need.BUILD)
    return Finding("rights", WARNING, said, f"{owners_command(look.url, look.names)}  Or: {cure}")


def _encoding(look: Look) -> Iterator[Finding]:
    for side, cure in (
        ("server", "CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'; and move the data with pg_dump"),
        ("client", "Put client_encoding=utf8 into the URL, and take PGCLIENTENCODING away"),
    ):
        encoding = look.connection.scalar(sa.text(f"SELECT current_setting('{side}_encoding')"))
        if encoding == "UTF8":
            yield Finding("encoding", OK, f"{side}_encoding is UTF8")
        else:
            lost = "not every character can be stored"
            yield Finding("encoding", ERROR, f"{side}_encoding is {encoding}, not UTF8: {lost}", cure)


def _indexes(look: Look) -> Iterator[Finding]:
    there = Place.of(look.connection, look.names).tables(look.names)
    declared = {index.name for table in metadata(look.names).sorted_tables for index in table.indexes}
    broken = [
        (table, index)
        for table in there
        for index in look.dialect.broken_indexes(look.connection, table.name, table.schema)
    ]
    for table, index in broken:
        verb = "REINDEX INDEX" if index in declared else "DROP INDEX"
        yield Finding(
            "indexes",
            ERROR,
            f"the index {index} on {table.name} is INVALID: a build of it did not end, and nobody can use it",
            f"{verb} CONCURRENTLY {quoted(look.connection, table.schema)}.{quoted(look.connection, index)};",
        )
    if not broken:
        yield Finding("indexes", OK, "every index is valid")


def _lock(look: Look) -> Iterator[Finding]:
    who = upgrader(look.connection, look.names)
    if who is None:
        yield Finding("lock", OK, "nobody is upgrading")
    else:
        yield Finding(
            "lock",
            WARNING,
            f"the upgrade lock is held by {who}",
            "Wait for that upgrade; if its process is gone: SELECT pg_terminate_backend(pid);",
        )
