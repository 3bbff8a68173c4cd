"""Roles of little privilege, made with the very statements that docs/howto/least-privilege.md gives."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import make_url
from sqlalchemy.pool import NullPool

from agno_store import open_db
from tests.package.documents import blocks
from tests.package.source import ROOT

GUIDE = ROOT / "docs/howto/least-privilege.md"
NAMES = ("agno_owner", "agno_app", "agno_reader")
PASSWORD = "secret"

_STATEMENT = re.compile(r"\bGRANT [^;]*;")


@dataclass
class Roles:
    """The roles of one database, and the schema that they share."""

    backend: str
    root: str
    suffix: str
    made: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        """PostgreSQL's schema; on MySQL a database."""
        return f"ai_{self.suffix}"

    def name(self, role: str) -> str:
        return f"agno_{role}_{self.suffix}"

    def url(self, role: str, **query: str) -> str:
        """Return the URL with which a role connects: on MySQL to the schema itself."""
        url = make_url(self.root).set(username=self.name(role), password=PASSWORD)
        if self.backend == "mysql":
            url = url.set(database=self.schema)
        return url.update_query_dict(query).render_as_string(hide_password=False)

    @property
    def options(self) -> dict[str, Any]:
        """What a store in the schema is opened with."""
        return {"db_schema": self.schema} if self.backend == "postgresql" else {}

    @property
    def words(self) -> list[str]:
        """What a command on a store in the schema is called with."""
        return ["--schema", self.schema] if self.backend == "postgresql" else []

    def open(self, role: str, **options: Any) -> Any:
        """Return the store in the schema, as a role sees it."""
        return open_db(self.url(role), **{**self.options, **options})

    def administer(self, *statements: str) -> None:
        """Run statements as the one who may do everything."""
        engine = sa.create_engine(self.root, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execution_options(no_parameters=True)
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def documented(self, number: int) -> list[str]:
        """Return the statements of one of the guide's blocks for this database, with these names in them."""
        heading = {"postgresql": "## PostgreSQL", "mysql": "## MySQL"}[self.backend]
        line = next(n for n, text in enumerate(GUIDE.read_text().splitlines(), 1) if text.startswith(heading))
        found = [block for block in blocks(GUIDE) if block.language == "sql" and block.line > line]
        text = re.sub(r"\bai\b", self.schema, found[number].text)
        for name in NAMES:
            text = re.sub(rf"\b{name}\b", f"{name}_{self.suffix}", text)
        return [statement.strip() for statement in text.split(";") if statement.strip()]

    def close(self) -> None:
        """Let nobody write the books of the upgrades who only reads them: the guide's second block."""
        self.administer(*self.documented(1))

    def stranger(self) -> str:
        """Make a role that may connect and nothing else."""
        name = self.name("stranger")
        if self.backend == "mysql":
            # A right of no use, without which the server would not even let it in.
            self.administer(
                f"CREATE USER {name} IDENTIFIED BY '{PASSWORD}'", f"GRANT TRIGGER ON {self.schema}.* TO {name}"
            )
        else:
            self.administer(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        self.made += (name,)
        return "stranger"

    def follow(self, message: str) -> list[str]:
        """Run the GRANTs that a message holds, as an administrator who pastes them."""
        statements = _STATEMENT.findall(message)
        assert statements, message
        self.administer(*statements)
        return statements


@contextmanager
def roles(backend: str, url: str) -> Iterator[Roles]:
    """Make the guide's roles and their schema, and drop them at the end."""
    found = Roles(backend, url, uuid.uuid4().hex[:8])
    found.made = tuple(found.name(role) for role in ("owner", "app", "reader"))
    try:
        found.administer(*found.documented(0))
        if backend == "postgresql":
            found.administer(*(f"ALTER ROLE {name} PASSWORD '{PASSWORD}'" for name in found.made))
        yield found
    finally:
        gone = [f"DROP DATABASE IF EXISTS {found.schema}"]
        if backend == "postgresql":
            gone = [f"DROP OWNED BY {name} CASCADE" for name in found.made]
        found.administer(
            *gone, *(f"DROP {'ROLE' if backend == 'postgresql' else 'USER'} {name}" for name in found.made)
        )
