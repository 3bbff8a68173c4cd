"""Which right a statement needs, who lacks it, and how it is given."""

from __future__ import annotations

import abc
import enum
import re
from typing import Any

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from agno_store.names import Names
from agno_store.urls import redacted


class Need(enum.Enum):
    """What somebody wanted to do who was not let."""

    CONNECT = "connect to this database"
    READ = "read"
    WRITE = "write"
    BUILD = "make tables"
    CHANGE = "change tables"
    MAKE_SCHEMA = "make a schema"


_OF_VERB = {
    "SELECT": Need.READ,
    "SHOW": Need.READ,
    "DESCRIBE": Need.READ,
    "INSERT": Need.WRITE,
    "UPDATE": Need.WRITE,
    "DELETE": Need.WRITE,
    "CREATE": Need.BUILD,
    "ALTER": Need.CHANGE,
    "DROP": Need.CHANGE,
}

_LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE)\b|\bLOCK IN SHARE MODE\b", re.IGNORECASE)
_SCHEMA = re.compile(r"CREATE\s+(SCHEMA|DATABASE)\b", re.IGNORECASE)
_INDEX = re.compile(r"(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX)\b", re.IGNORECASE)


def needed(statement: str | None) -> tuple[str, Need]:
    """Return the right that a statement needs, as GRANT calls it, and what it is needed for."""
    if statement is None:
        return "connect to this database", Need.CONNECT
    words = statement.split()
    verb = words[0].upper() if words else ""
    if _SCHEMA.match(statement.lstrip()):
        return f"CREATE a {words[1].lower()}", Need.MAKE_SCHEMA
    if _INDEX.match(statement.lstrip()):
        return f"{verb} an INDEX", Need.CHANGE
    if verb == "SELECT" and _LOCKING.search(statement):
        return "UPDATE", Need.WRITE
    if verb in ("SHOW", "DESCRIBE"):
        return "SELECT", Need.READ
    if verb == "CREATE" and " REFERENCES " in statement.upper():
        return "CREATE tables with REFERENCES", Need.BUILD
    if verb in ("CREATE", "ALTER", "DROP"):
        return f"{verb} tables", _OF_VERB[verb]
    return verb or "do this", _OF_VERB.get(verb, Need.CHANGE)


class Rights(abc.ABC):
    """The rights of whoever is connected to one kind of database."""

    @abc.abstractmethod
    def denies(self, error: DBAPIError) -> bool:
        """Whether an error says that a right is missing: by its code alone, as texts are translated and change."""

    @abc.abstractmethod
    def lacking(self, connection: Connection | None, url: URL, names: Names, statement: str | None) -> tuple[str, str]:
        """Say who lacks which right for a statement, and what to do about it. Writes nothing.

        Without a connection it can be said less precisely.
        """

    def refuse_hidden(self, connection: Connection, names: Names) -> None:
        """Raise AccessDenied where tables only seem to be missing, because this role may not see them."""
        return None

    def refuse_elsewhere(self, connection: Connection, names: Names) -> None:
        """Raise AccessDenied or SchemaConflict where an upgrade would make tables beside those that are there.

        Those may be the store's own elsewhere, or another store's that the database cannot tell from them.
        """
        return None


def quoted(connection: Connection, name: str) -> str:
    """Quote a name for people: without the second % that drivers want."""
    preparer: Any = connection.dialect.identifier_preparer
    text = str(preparer.quote(name))
    return text.replace("%%", "%") if preparer._double_percents else text


def owners_command(url: URL, names: Names, owner: str | None = None) -> str:
    """Return the command that an owner of the tables runs."""
    return names.command("upgrade", redacted(url.set(username=owner or "OWNER")))


def cure(need: Need, grants: str, command: str) -> str:
    """Say what to do: let somebody else upgrade, or give the right."""
    if need in (Need.BUILD, Need.CHANGE, Need.MAKE_SCHEMA):
        return f"Let the owner of the tables run: {command}  Or let an administrator give the right: {grants}"
    return f"Let an administrator give it: {grants}"
