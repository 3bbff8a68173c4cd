"""Rights in PostgreSQL, where also a schema can be closed to somebody, and tables belong to their maker."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.rights import Need, Rights, cure, needed, owners_command, quoted
from agno_store.errors import AccessDenied, SchemaConflict
from agno_store.names import Names

INSUFFICIENT_PRIVILEGE = "42501"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""

# What is in the catalogue everybody may read, also of a schema that is closed to him.
_EVERYWHERE = sa.text(
    "SELECT n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, "
    "pg_has_role(c.relowner, 'USAGE') AS owned, has_schema_privilege(n.oid, 'USAGE') AS open, "
    "n.nspname = ANY(current_schemas(false)) AND pg_table_is_visible(c.oid) AS visible, "
    "has_table_privilege(c.oid, 'SELECT') AS reads, has_table_privilege(c.oid, 'INSERT') AND "
    "has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS writes "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relname = ANY(:tables) AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
)

_SELF = sa.text(
    "SELECT current_user AS role, current_database() AS database, current_schema() AS schema, "
    "current_setting('search_path') AS path"
)

_ITEM = re.compile(r'"((?:[^"]|"")+)"|([^,\s"]+)')


@dataclass(frozen=True)
class Table:
    """A table of a store, or of one that is called the same."""

    schema: str
    name: str
    owner: str
    owned: bool
    open: bool
    visible: bool
    reads: bool
    writes: bool


@dataclass(frozen=True)
class Place:
    """Who is connected, and where a store is or would be. ``namesakes`` are tables of its names anywhere."""

    role: str
    database: str
    schema: str | None
    path: tuple[str, ...]
    namesakes: tuple[Table, ...]

    @classmethod
    def of(cls, connection: Connection, names: Names) -> Place:
        me = connection.execute(_SELF).one()
        rows = connection.execute(_EVERYWHERE, {"tables": list(names.own)})
        path = tuple(me.role if item == "$user" else item for item in searched(me.path))
        namesakes = tuple(Table(**row._mapping) for row in rows)
        return cls(me.role, me.database, names.schema or me.schema, path, namesakes)

    def tables(self, names: Names) -> tuple[Table, ...]:
        """The tables of the store; of one that is looked for in the search path, also those in a closed schema."""
        if names.schema is not None:
            return tuple(table for table in self.namesakes if table.schema == names.schema)
        return tuple(t for t in self.namesakes if t.visible) or self.hidden(names)

    def allows(self, names: Names, need: Need) -> bool:
        """Whether the role may read, or read and write, the tables that are there."""
        tables = self.tables(names)
        reads = all(table.open and table.reads for table in tables)
        return reads and (need is Need.READ or all(table.writes for table in tables if table.name in names.tables))

    def hidden(self, names: Names) -> tuple[Table, ...]:
        """The tables in schemas that the search path names and the role may not use."""
        if names.schema is not None:
            return ()
        return tuple(t for t in self.namesakes if not t.open and t.schema in self.path)


class PostgreSQLRights(Rights):
    def denies(self, error: DBAPIError) -> bool:
        code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        return code == INSUFFICIENT_PRIVILEGE

    def lacking(self, connection: Connection | None, url: URL, names: Names, statement: str | None) -> tuple[str, str]:
        right, need = needed(statement)
        if connection is None:
            role = url.username or "that is connected"
            return f"the role {role} lacks the right to {right}", "Let the owner of the tables GRANT it."
        place = Place.of(connection, names)
        tables = place.tables(names)
        what = f"the role {place.role} lacks the right to {right}"
        elsewhere = sorted({table.schema for table in place.namesakes})
        if elsewhere and not tables:
            what += f", and a store of that name is in the schema {', '.join(elsewhere)} (db_schema=, --schema)"
        if tables and need in (Need.READ, Need.WRITE) and place.allows(names, need):
            # The same code for a row that a policy closes to a role with every right to the table.
            return (
                f"a policy of row-level security does not let the role {place.role} {right}",
                "Let an administrator look: SELECT * FROM pg_policies;",
            )
        command = owners_command(url, names, tables[0].owner if tables else None)
        return what, cure(need, grants(connection, names, place, need), command)

    def refuse_hidden(self, connection: Connection, names: Names) -> None:
        if names.schema is not None:  # named, it is refused by the server itself
            return
        place = Place.of(connection, names)
        versions = [table for table in place.namesakes if table.name == names.version]
        hidden = place.hidden(names)
        if any(table in hidden for table in versions) and not any(table.visible for table in versions):
            raise AccessDenied(
                f"{names}: the store is in the schema {hidden[0].schema}, which the search path names, but the role "
                f"{place.role} lacks the right to USAGE of it. Nothing was changed. Let an administrator give it: "
                + grants(connection, names, replace(place, namesakes=hidden), Need.READ)
            )

    def refuse_elsewhere(self, connection: Connection, names: Names) -> None:
        if names.schema is not None:
            return
        self.refuse_hidden(connection, names)
        place = Place.of(connection, names)
        schemas = sorted({table.schema for table in place.namesakes if table.visible} - {place.schema or ""})
        if schemas:
            raise SchemaConflict(
                f"{names} is in the schema {', '.join(schemas)}, but the search path {', '.join(place.path)} would "
                f"have new tables made in {place.schema}. Nothing was changed. Name the schema with "
                f"db_schema={schemas[0]!r} (--schema {schemas[0]}).",
                store=str(names),
            )


def grants(connection: Connection, names: Names, place: Place, need: Need) -> str:
    """Return the statements that give a role what is needed, for somebody who may give it."""
    tables, role = place.tables(names), quoted(connection, place.role)
    schema = quoted(connection, next((table.schema for table in tables), None) or place.schema or "SCHEMA")
    there = {table.name for table in tables} or {*names.tables, names.version, names.upgrades}

    def listed(wanted: tuple[str, ...]) -> str:
        return ", ".join(f"{schema}.{quoted(connection, name)}" for name in wanted if name in there)

    if need is Need.CONNECT:
        return f"GRANT CONNECT ON DATABASE {quoted(connection, place.database)} TO {role};"
    if need is Need.MAKE_SCHEMA:
        return f"GRANT CREATE ON DATABASE {quoted(connection, place.database)} TO {role};"
    if need in (Need.BUILD, Need.CHANGE) and tables and not tables[0].owned:
        return f"GRANT {quoted(connection, tables[0].owner)} TO {role};"
    if need in (Need.BUILD, Need.CHANGE):
        return f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"
    use = f"GRANT USAGE ON SCHEMA {schema} TO {role};"
    books = listed((names.version, names.upgrades))
    if need is Need.READ:
        return f"{use} GRANT SELECT ON {listed((*names.tables, names.version, names.upgrades))} TO {role};"
    write = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {listed(names.tables)} TO {role};"
    return f"{use} {write}" + (f" GRANT SELECT ON {books} TO {role};" if books else "")


def searched(path: str) -> tuple[str, ...]:
    """Return the schemas that a search path names, as the server reads it."""
    return tuple(exact.replace('""', '"') if exact else plain.lower() for exact, plain in _ITEM.findall(path))
