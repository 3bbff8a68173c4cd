"""What a MySQL or MariaDB server is looked at for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from agno_store.dialects.findings import ERROR, OK, WARNING, Check, Finding, Health, Look, size
from agno_store.dialects.mysql import upgrader
from agno_store.dialects.rights import Need
from agno_store.dialects.rights_mysql import READING, UPGRADING, WRITING, grant
from agno_store.tables import metadata

NEEDED = {"MySQL": (8, 0, 17), "MariaDB": (10, 2, 2)}
"""The first releases with a binary collation that does not pad."""

OLDEST = {"MySQL": (8, 0, 17), "MariaDB": (10, 6)}
"""The oldest ones that their makers still mend."""

SMALL_PACKET = 16 * 1024**2
"""Bytes, and what MariaDB comes with. A run is one value: with tool results and images it may well be larger."""

ID_COLLATIONS = {"MySQL": "utf8mb4_0900_bin", "MariaDB": "utf8mb4_nopad_bin"}

_VARIABLES = sa.text(
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@max_allowed_packet, "
    "@@SESSION.sql_mode, @@default_storage_engine, @@GLOBAL.read_only, DATABASE(), CURRENT_USER()"
)

_DATABASE = sa.text("SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = :database")

_COLUMNS = sa.text(
    "SELECT table_name AS tbl, column_name AS col, data_type AS kind, column_type AS type, is_nullable AS nullable, "
    "collation_name AS collation FROM information_schema.columns "
    "WHERE table_schema = :database AND table_name IN :tables AND data_type IN ('varchar', 'longtext') "
    "ORDER BY table_name, ordinal_position"
).bindparams(sa.bindparam("tables", expanding=True))

_ENGINES = sa.text(
    "SELECT table_name AS tbl, engine AS engine FROM information_schema.tables "
    "WHERE table_schema = :database AND table_name IN :tables"
).bindparams(sa.bindparam("tables", expanding=True))

_GRANT = re.compile(r"^GRANT (?P<rights>.+?) ON (?P<database>\*|`(?:[^`]|``)*`)\.(?P<table>\*|`(?:[^`]|``)*`) TO ")


class MySQLHealth(Health):
    isolation = ("READ COMMITTED", "AUTOCOMMIT")

    @property
    def checks(self) -> Mapping[str, Check]:
        return {
            "server": _version,
            "writable": _writable,
            "rights": _rights,
            "encoding": _encoding,
            "collation": _collations,
            "max_allowed_packet": _packet,
            "sql_mode": _sql_mode,
            "engine": _engines,
            "lock": _lock,
        }


@dataclass(frozen=True)
class Server:
    """What the server says of this connection."""

    charsets: frozenset[str]
    packet: int
    sql_mode: str
    engine: str
    read_only: bool
    database: str
    role: str

    @classmethod
    def of(cls, look: Look) -> Server:
        *charsets, packet, sql_mode, engine, read_only, database, role = look.connection.execute(_VARIABLES).one()
        # MariaDB 11.8 has more words than OFF and ON for it.
        closed = str(read_only).upper() not in ("0", "OFF")
        return cls(frozenset(charsets), packet, sql_mode, engine, closed, look.names.schema or database or "", role)


def product(look: Look) -> str:
    """Say which of the two the server is."""
    return "MariaDB" if "MariaDB" in str(look.connection.scalar(sa.text("SELECT VERSION()"))) else "MySQL"


def _version(look: Look) -> Iterator[Finding]:
    name, said = product(look), str(look.connection.scalar(sa.text("SELECT VERSION()"))).partition("-")[0]
    version, said = tuple(map(int, re.findall(r"\d+", said)[:3])), f"{name} {said}"
    cure = f"Upgrade the server to {name} {'.'.join(map(str, OLDEST[name]))} or later"
    if version < NEEDED[name]:
        yield Finding("server", ERROR, f"{said} has no collation in which ids can be kept apart", cure)
    elif version < OLDEST[name]:
        yield Finding("server", WARNING, f"{said} is older than what agno_store is tested with", cure)
    else:
        yield Finding("server", OK, said)


def _writable(look: Look) -> Iterator[Finding]:
    if Server.of(look).read_only:
        cure = "For writing, connect to the primary; or, on this server: SET GLOBAL read_only = OFF;"
        yield Finding("writable", WARNING, "this server is read only (a replica)", cure)
    else:
        yield Finding("writable", OK, "the server takes writes")


# -- rights ------------------------------------------------------------------------------------------


def granted(lines: Sequence[str], database: str, table: str) -> set[str]:
    """Return the rights to a table that the answer to SHOW GRANTS gives."""
    found: set[str] = set()
    for line in lines:
        match = _GRANT.match(line)
        if match is None or not _covers(match["database"], match["table"], database, table):
            continue
        # A right to some columns is none to the table.
        rights = {right.strip().upper() for right in re.sub(r"\w+ \([^)]*\)", "", match["rights"]).split(",")}
        found |= set(UPGRADING) if "ALL PRIVILEGES" in rights or "ALL" in rights else rights
    return found - {""}


def _covers(of_database: str, of_table: str, database: str, table: str) -> bool:
    if of_database == "*":
        return True
    name = of_database[1:-1].replace("``", "`")
    if of_table != "*":
        return (name, of_table[1:-1].replace("``", "`")) == (database, table)
    parts = re.findall(r"\\(.)|([%_])|(.)", name, re.DOTALL)
    pattern = "".join(
        re.escape(escaped or plain) if not wild else ".*" if wild == "%" else "." for escaped, wild, plain in parts
    )
    return re.fullmatch(pattern, database, re.DOTALL) is not None


def _show_grants(look: Look) -> list[str]:
    roles = None
    if product(look) == "MySQL":  # which, other than MariaDB, shows the rights of active roles only when asked
        roles = look.connection.scalar(sa.text("SELECT CURRENT_ROLE()"))
    using = f" FOR CURRENT_USER() USING {roles}" if roles and roles != "NONE" else ""
    statement = f"SHOW GRANTS{using}".replace("%", "%%")
    return [str(line) for line in look.connection.exec_driver_sql(statement).scalars()]


def _rights(look: Look) -> Iterator[Finding]:
    server, lines, names = Server.of(look), _show_grants(look), look.names

    def all_of(rights: Sequence[str], tables: Sequence[str]) -> bool:
        return all(set(rights) <= granted(lines, server.database, table) for table in tables)

    reads = all_of(READING, (*names.tables, names.version, names.upgrades))
    writes = reads and all_of(WRITING, names.tables)
    upgrades = all_of(UPGRADING, names.own)
    may = [what for what, given in (("read", reads), ("write", writes), ("upgrade", upgrades)) if given]
    said = f"the account {server.role} may {', '.join(may) or 'not even read'}"
    if writes:
        yield Finding("rights", OK, said + ("" if upgrades else "; upgrades are for another account"))
        return
    need = Need.WRITE if reads else Need.READ
    cure = grant(need, server.database, server.role)
    yield Finding("rights", WARNING if reads else ERROR, said, cure)


# -- text --------------------------------------------------------------------------------------------


def _encoding(look: Look) -> Iterator[Finding]:
    server = Server.of(look)
    if server.charsets - {"utf8mb4"}:
        said = ", ".join(sorted(server.charsets))
        yield Finding(
            "encoding",
            ERROR,
            f"the connection speaks {said}, not utf8mb4: not every character can be stored",
            "Put charset=utf8mb4 into the URL",
        )
    else:
        yield Finding("encoding", OK, "the connection speaks utf8mb4")
    charset = look.connection.scalar(_DATABASE, {"database": server.database})
    if charset not in ("utf8mb4", None):
        yield Finding(
            "encoding",
            WARNING,
            f"the database {server.database} is {charset}: the store's tables bring utf8mb4 along, but a column that "
            "somebody adds would not",
            f"ALTER DATABASE `{server.database.replace('`', '``')}` CHARACTER SET utf8mb4;",
        )
    elif charset is not None:
        yield Finding("encoding", OK, f"the database {server.database} is utf8mb4")


def _collations(look: Look) -> Iterator[Finding]:
    server, ids = Server.of(look), ID_COLLATIONS[product(look)]
    own = {(table.name, column.name) for table in metadata(look.names).sorted_tables for column in table.columns}
    wrong = []
    for row in look.connection.execute(_COLUMNS, {"database": server.database, "tables": list(look.names.tables)}):
        wanted = ids if row.kind == "varchar" else "utf8mb4_bin"
        if (row.tbl, row.col) in own and row.collation != wanted:
            wrong.append((row, wanted))
    for row, wanted in wrong:
        null = "NULL" if row.nullable == "YES" else "NOT NULL"
        column = row.col.replace("`", "``")
        yield Finding(
            "collation",
            ERROR,
            f"{row.tbl}.{row.col} is {row.collation}, not {wanted}: ids that differ can be equal, or characters lost",
            f"SET foreign_key_checks = 0; ALTER TABLE {look.quoted(row.tbl)} MODIFY `{column}` {row.type} "
            f"CHARACTER SET utf8mb4 COLLATE {wanted} {null}; SET foreign_key_checks = 1;",
        )
    if not wrong:
        yield Finding("collation", OK, "every column compares by bytes")


# -- settings ----------------------------------------------------------------------------------------


def _packet(look: Look) -> Iterator[Finding]:
    packet = Server.of(look).packet
    said = f"a run or a session's data may have {size(packet)} (max_allowed_packet)"
    if packet < SMALL_PACKET:
        cure = "SET GLOBAL max_allowed_packet = 67108864;  and the same in the server's configuration file"
        yield Finding("max_allowed_packet", WARNING, f"{said}, which is little", cure)
    else:
        yield Finding("max_allowed_packet", OK, said)


def _sql_mode(look: Look) -> Iterator[Finding]:
    modes = Server.of(look).sql_mode.upper().split(",")
    if {"STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"} & set(modes):
        yield Finding("sql_mode", OK, "sql_mode is strict")
    else:
        yield Finding(
            "sql_mode",
            ERROR,
            "sql_mode is not strict: the server cuts off what is too long, and only warns",
            "On every connection of your engine: SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES');  or "
            "give db_url= instead of db_engine=",
        )


def _engines(look: Look) -> Iterator[Finding]:
    server = Server.of(look)
    wrong = [
        row
        for row in look.connection.execute(_ENGINES, {"database": server.database, "tables": list(look.names.own)})
        if row.engine != "InnoDB"
    ]
    for row in wrong:
        yield Finding(
            "engine",
            ERROR,
            f"{row.tbl} is a table of {row.engine}, which has no transactions",
            f"ALTER TABLE {look.quoted(row.tbl)} ENGINE = InnoDB;",
        )
    if server.engine != "InnoDB":
        yield Finding(
            "engine",
            WARNING,
            f"new tables are of {server.engine}, which has no transactions; the store's own ask for InnoDB, but "
            "Alembic's does not",
            "SET GLOBAL default_storage_engine = InnoDB;  and the same in the server's configuration file",
        )
    elif not wrong:
        yield Finding("engine", OK, "the tables are of InnoDB")


def _lock(look: Look) -> Iterator[Finding]:
    who = upgrader(look.connection, look.names) or _lease(look)
    if who is None:
        yield Finding("lock", OK, "nobody is upgrading")
    else:
        yield Finding(
            "lock", WARNING, f"the upgrade lock is held by {who}", "Wait for that upgrade, or: KILL connection;"
        )


def _lease(look: Look) -> str | None:
    """Say whose row it is, on a cluster, where a lock holds on one node only."""
    # Asked of the schema, as a table that may not be seen is an error to DESCRIBE.
    place = {"database": Server.of(look).database, "tables": [look.names.upgrader]}
    if look.connection.execute(_ENGINES, place).first() is None:
        return None
    table = sa.table(look.names.upgrader, sa.column("who"), sa.column("since"), schema=look.names.schema)
    row = look.connection.execute(sa.select(table)).first()
    return None if row is None else f"{row.who}, since {row.since} UTC (a dead holder's is free after some seconds)"
