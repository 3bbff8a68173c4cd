"""The options that commands share, and the store that they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agno_store import open_db
from agno_store.cli.application import codec_named
from agno_store.cli.render import JSON_VARIABLE
from agno_store.names import DEFAULT
from agno_store.tables import REVISIONS


def among(*words: str) -> Callable[[str], list[str]]:
    """Return what has a shell complete one of these words; nothing is connected to for that."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


PLACES = among(*REVISIONS, "head", "base")
"""Where tables can be, of those whose names are known without a store."""

Url = Annotated[
    str | None,
    typer.Option(
        "--db-url",
        envvar="AGNO_STORE_DB_URL",
        show_default=False,  # it may stand in pyproject.toml, with its password
        help="The database: sqlite:///agents.db, postgresql://user:password@host/db, mysql://user:password@host/db.",
    ),
]
TableName = Annotated[
    str, typer.Option("--table", envvar="AGNO_STORE_TABLE", help="The store's table_name.", metavar="NAME")
]
SchemaName = Annotated[
    str | None,
    typer.Option("--schema", envvar="AGNO_STORE_SCHEMA", help="The store's db_schema.", metavar="NAME"),
]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", envvar="AGNO_STORE_TENANT", help="The store's tenant_id.", metavar="ID"),
]
LockTimeout = Annotated[
    float,
    typer.Option(
        "--lock-timeout",
        envvar="AGNO_STORE_LOCK_TIMEOUT",
        min=0,
        help="Seconds to wait for another upgrade.",
        metavar="SECONDS",
    ),
]
Json = Annotated[bool, typer.Option("--json", envvar=JSON_VARIABLE, help="Answer with one JSON document.")]
Revision = Annotated[
    str,
    typer.Option(
        "--to",
        envvar="AGNO_STORE_TO",
        help="A revision, a release, head or base.",
        metavar="REV",
        autocompletion=PLACES,
    ),
]


Pooler = Annotated[
    str | None,
    typer.Option(
        "--pooler",
        envvar="AGNO_STORE_POOLER",
        help="'transaction' behind PgBouncer, Supavisor and the like in transaction mode.",
        metavar="MODE",
        autocompletion=among("transaction"),
    ),
]
DdlLockTimeout = Annotated[
    float,
    typer.Option(
        "--ddl-lock-timeout",
        envvar="AGNO_STORE_DDL_LOCK_TIMEOUT",
        min=0.1,
        help="Seconds that a statement may wait for a table, its readers behind it, before it steps back.",
        metavar="SECONDS",
    ),
]
WaitForDb = Annotated[
    float,
    typer.Option(
        "--wait-for-db",
        envvar="AGNO_STORE_WAIT_FOR_DB",
        min=0,
        help="Seconds to wait until the database answers.",
        metavar="SECONDS",
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Every store found in the database, or in --schema.")]
App = Annotated[
    str | None,
    typer.Option(
        "--app",
        envvar="AGNO_STORE_APP",
        help="Your extend function, or your store: what your application has added to the tables.",
        metavar="MODULE:OBJECT",
    ),
]
Versions = Annotated[
    Path | None,
    typer.Option(
        "--versions", envvar="AGNO_STORE_VERSIONS", help="The folder of your application's revisions.", metavar="FOLDER"
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec",
        envvar="AGNO_STORE_CODEC",
        help="The codec that opens and seals what is stored, or a function that makes it.",
        metavar="MODULE:OBJECT",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", envvar="AGNO_STORE_YES", help="Do not ask.")]


def is_given(context: typer.Context, option: str) -> bool:
    """Whether an option stands on the command line itself, and is not set for all commands by its variable."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def opened(db_url: str | None, table: str, schema: str | None, *, codec_option: str = "--codec", **options: Any) -> Any:
    """Return the store that the options name; those that were not given are left out.

    Raises ConfigurationError for a codec that cannot be had.
    """
    if not db_url:
        raise typer.BadParameter(
            "say which database: --db-url, AGNO_STORE_DB_URL, or db-url in [tool.agno-store] of pyproject.toml.",
            param_hint="--db-url",
        )
    given = {name: value for name, value in options.items() if value is not None}
    if "codec" in given:
        given["codec"] = codec_named(codec_option, given["codec"])
    return open_db(db_url, table_name=table, db_schema=schema, **given)


@dataclass(frozen=True)
class Where:
    """A store without columns of an application's own: its options, as ``gathered`` takes them."""

    db_url: Url = None
    table: TableName = DEFAULT
    schema: SchemaName = None
    tenant: Tenant = None
    pooler: Pooler = None
    codec: Codec = None

    def opened(self) -> Any:
        """Return the store."""
        options: dict[str, Any] = {"tenant_id": self.tenant, "pooler": self.pooler, "codec": self.codec}
        return opened(self.db_url, self.table, self.schema, **options)
