"""What every database has to answer."""

from __future__ import annotations

import abc
import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.advice import Advice
from agno_store.dialects.connected import Connected, telling
from agno_store.dialects.limits import Limit, are_small
from agno_store.errors import ConfigurationError
from agno_store.names import Names

if TYPE_CHECKING:
    from agno_store.dialects.locks import Change
    from agno_store.dialects.rights import Rights
    from agno_store.dialects.standby import Standbys


class Scope(enum.Enum):
    """What one transaction of an upgrade holds."""

    REVISION = "each revision"
    UPGRADE = "the whole upgrade"
    CALLER = "whatever the caller's transaction holds besides"


class Dialect(Advice, abc.ABC):
    """One kind of database."""

    title: ClassVar[str]
    """What people call it."""

    driver_names: ClassVar[Mapping[str, str]]
    """The names that URLs give it, with SQLAlchemy's name for each."""

    default_driver: ClassVar[str]

    async_drivers: ClassVar[Mapping[str, str]]
    """The drivers of the asynchronous classes, the default one first, with SQLAlchemy's name for each."""

    interruptible: ClassVar[bool] = True
    """Whether a task that is cancelled may be interrupted in the middle of a statement."""

    packages: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What pip calls a driver, where it is another name."""

    ddl_rolls_back: ClassVar[bool]
    """Whether a CREATE or ALTER is undone when its transaction is."""

    clock: ClassVar[str]
    """The server's time in microseconds since 1970-01-01 UTC, in SQL."""

    has_schemas: ClassVar[bool] = True
    """Whether a store can be in a schema other than the connection's own."""

    stores_generated: ClassVar[bool] = False
    """Whether a generated column is stored with the rows where its revision does not say."""

    has_poolers: ClassVar[bool] = False
    """Whether a pooler that hands out connections per transaction may be in between."""

    standbys: ClassVar[Standbys | None] = None
    """How a standby is read from, where that is possible."""

    notices_after: ClassVar[float] = 0.0
    """Seconds until a writer that waits notices that its turn has come."""

    cascades: ClassVar[bool] = True
    """Whether what refers to a row is deleted with it, whoever has made the engine."""

    writes_two_tables: ClassVar[bool] = False
    """Whether a statement can write to one table what it has written to another."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.driver_names)

    def install_hint(self, driver: str) -> str:
        """The command that installs a driver."""
        package = self.packages.get(driver, driver)
        return f'pip install "{package}"' if "[" in package else f"pip install {package}"

    # -- connecting ---------------------------------------------------------------------------

    @abc.abstractmethod
    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        """Keyword arguments of ``create_engine``; ``pooled`` says that a transaction pooler is in between."""

    def abandon(self, driver: Any) -> None:
        """Close an asynchronous driver's own connection where no event loop runs that could do it."""
        driver.close()

    def prepare(self, engine: Engine) -> None:
        """Set up the connections of an engine of our own."""
        return None

    def shares(self, url: URL) -> bool:
        """Whether two stores with this URL mean the same database."""
        return True

    def located(self, url: URL) -> URL:
        """Return a URL that is the same wherever in the file system it is used."""
        return url

    def refuse_lookalike(self, connection: Connection, names: Names) -> None:
        """Raise SchemaConflict where the database takes the tables of another store for those of ``names``."""
        return None

    def is_there(self, url: URL) -> bool:
        """Whether there is something to connect to; connecting to a SQLite file that is not there makes it."""
        return True

    def make_room(self, url: URL) -> None:
        """Make what a database needs before it can be made, such as a file's folder."""
        return None

    # -- transactions -------------------------------------------------------------------------

    def connected(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Give a connection that is in no transaction, whatever a caller's listeners did when it was handed out.

        Raises DatabaseUnreachable for what a driver raises besides its own errors, such as a TypeError for an
        option that it does not know.
        """
        return Connected(engine)

    def commits_alone(self, engine: Engine) -> bool:
        """Whether ``by_statement`` can be used, and saves a way to the server."""
        return False

    def by_statement(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Give a connection on which each statement is committed by itself."""
        raise NotImplementedError

    def transaction(self, engine: Engine, *, writes: bool) -> AbstractContextManager[Connection]:
        """Run one transaction: committed at the end, rolled back on an error."""
        return self._begun(engine, writes)

    @contextmanager
    def _begun(self, engine: Engine, writes: bool) -> Iterator[Connection]:
        with self.connected(engine) as connection:
            if writes:
                transactional(connection)
            discard = partial(self._discard_if_useless, connection)
            with telling(discard), connection.begin(), telling(discard):  # before what failed is rolled back as well
                yield connection

    def tells_count(self, connection: Connection) -> bool:
        """Whether the answer to an UPDATE tells what ``quick.Counted`` has counted from, and nothing waits for it."""
        return False

    def _discard_if_useless(self, connection: Connection, error: Exception) -> None:
        """Let no one else get a connection that leads nowhere, which SQLAlchemy knows of some errors alone."""
        if self._is_useless(connection, error) and not connection.invalidated:
            connection.invalidate(error)

    def _is_useless(self, connection: Connection, error: Exception) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        return self.is_lost(error) or self.is_read_only(error) or self.may_be_committed(error)

    @abc.abstractmethod
    def is_transient(self, error: DBAPIError) -> bool:
        """Whether the same transaction may well succeed when it is run again from its start."""

    def is_lost(self, error: DBAPIError) -> bool:
        """Whether the connection, or the server at its end, is gone, and may be back in a moment."""
        return error.connection_invalidated

    def may_be_committed(self, error: DBAPIError) -> bool:
        """Whether COMMIT may have been refused because the server had lost its cluster, where nobody knows."""
        return False

    def is_read_only(self, error: DBAPIError) -> bool:
        """Whether the server takes no writes, as one that was the primary until a moment ago."""
        return False

    def is_foreign(self, error: DBAPIError) -> bool:
        """Whether the encoding of the database lacks a character."""
        return False

    def is_full(self, error: DBAPIError) -> bool:
        """Whether there is no room left to write to."""
        return False

    def is_busy(self, error: DBAPIError) -> bool:
        """Whether somebody else has been writing for as long as there was patience."""
        return False

    def writer(self, connection: Connection) -> str:
        """Say who that is, where the operating system tells."""
        return "somebody else"

    # -- listings -----------------------------------------------------------------------------

    def read_along(self, statement: sa.Select[Any], table: sa.Table, columns: Sequence[str]) -> sa.Select[Any]:
        """Have a listing read along the index of these columns, where the database would not find that by itself."""
        return statement

    # -- limits -------------------------------------------------------------------------------

    @abc.abstractmethod
    def largest(self, connection: Connection) -> Limit:
        """Return how much one statement, or one of its values, may carry."""

    def refuse_too_large(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Raise PayloadTooLarge where a statement with these values is over what the server takes."""
        if not are_small(values):
            self.largest(connection).refuse({name: text for name, text in values.items() if isinstance(text, str)})

    def takes(self, connection: Connection, *sent: Mapping[str, Any]) -> bool:
        """Whether statements with these values that are sent together are certainly not over that."""
        if are_small(*sent):
            return True
        length = sum([len(value) for values in sent for value in values.values() if isinstance(value, str)])
        return self.largest(connection).is_far(length)

    # -- rights -------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def rights(self) -> Rights:
        """What roles may do, and the words for what they may not; imported where something was refused."""

    def is_denied(self, error: DBAPIError) -> bool:
        """Whether the database refused because a right is missing."""
        return self.rights.denies(error)

    # -- upgrading ----------------------------------------------------------------------------

    @abc.abstractmethod
    def scope(self, *, pooled: bool) -> Scope:
        """What one transaction of an upgrade holds, unless the caller has begun it."""

    @abc.abstractmethod
    def upgrading(
        self, connection: Connection, names: Names, *, timeout: float, scope: Scope
    ) -> AbstractContextManager[None]:
        """Hold the upgrade lock of ``names`` on ``connection``, which is in a transaction only if that is the caller's.

        Begins and commits what is of Scope.UPGRADE. Raises UpgradeLocked after ``timeout`` seconds, and
        ConfigurationError where DDL cannot join a caller's transaction. A killed holder's lock is free at once.
        """

    @contextmanager
    def impatient(self, connection: Connection, seconds: float, scope: Scope) -> Iterator[None]:
        """Let no statement wait longer than that for a table, or than is set for the connection already.

        Readers would queue up behind it.
        """
        yield

    def settle(self, connection: Connection, names: Names, *, timeout: float, scope: Scope) -> None:
        """Wait until nobody upgrades ``names``, and make nothing.

        Raises UpgradeLocked after ``timeout`` seconds.
        """
        with self.upgrading(connection, names, timeout=timeout, scope=scope):
            pass

    def catch_up(self, connection: Connection) -> None:
        """Wait until this server has what the others of its cluster have committed."""
        return None

    def refuse_if_lost(self, connection: Connection) -> None:
        """Raise UpgradeLocked where the upgrade lock has gone to somebody else meanwhile."""
        return None

    @contextmanager
    def patient(self, connection: Connection) -> Iterator[None]:
        """Let statements wait that nobody queues up behind; not in a transaction."""
        yield

    def loses_children(self, connection: Connection) -> bool:
        """Whether dropping a table would delete the rows that refer to it."""
        return False

    def holders(self, connection: Connection, names: Names) -> list[str]:
        """Say who holds the tables of a store against an upgrade, where the database tells."""
        return []

    def is_large(self, connection: Connection, table: str, schema: str | None) -> bool:
        """Whether an index on this table had better be built beside the table's writers."""
        return False

    @property
    @abc.abstractmethod
    def locks(self) -> Mapping[Change, str]:
        """Who waits while an upgrade makes a change, and for how long, in words; imported for an upgrade."""

    def waits(self, change: Change, sql_dialect: SqlDialect) -> str:
        """Say who waits while a change is made, and for how long; ``sql_dialect`` knows which server it is."""
        return self.locks[change]

    def estimated_rows(self, connection: Connection, table: str, schema: str | None) -> int | None:
        """Return about how many rows a table has, without reading them; None where nobody knows."""
        return None

    def broken_indexes(self, connection: Connection, table: str, schema: str | None) -> list[str]:
        """Return the indexes that a build which did not end has left behind."""
        return []

    @contextmanager
    def reflecting(self, connection: Connection, names: Names) -> Iterator[tuple[Connection, Names]]:
        """Give a connection and names under which SQLAlchemy reads the tables of ``names`` back as they are."""
        yield connection, names

    def correct_reflection(self, context: Any, names: Names) -> None:
        """Have Alembic see the tables of a store as they are, where it compares them over this context."""

    def generated(self, connection: Connection, table: str, schema: str | None) -> dict[str, str]:
        """Return the generated columns of a table with what they are generated from."""
        columns = sa.inspect(connection).get_columns(table, schema=schema)
        return {column["name"]: column["computed"]["sqltext"] for column in columns if column.get("computed")}

    def rebuilding(
        self, connection: Connection, table: str, schema: str | None, leaving: Collection[str]
    ) -> AbstractContextManager[None]:
        """Take out of the way meanwhile what a rebuild of a table cannot copy; the columns ``leaving`` stay."""
        return nullcontext()

    # -- what an operator is given ------------------------------------------------------------

    client: ClassVar[str]
    """How a script is run with the database's own client."""

    records_scripts: ClassVar[bool] = False
    """Whether a script can only be had by running the revisions on a scratch database."""

    @abc.abstractmethod
    def framing(self, names: Names) -> tuple[Sequence[str], Sequence[str]]:
        """What a script begins and ends with: stop at the first error, take the upgrade lock, begin and commit."""

    def schema_script(self, schema: str) -> str:
        """The statement that makes a schema where it is missing."""
        raise NotImplementedError

    def schemas(self, connection: Connection) -> Sequence[str | None]:
        """The schemas in which a store may be; None for the connection's own."""
        return [None]

    @abc.abstractmethod
    def dump_command(self, url: URL, names: Names) -> str:
        """The command that makes a copy of a store with the database's own tools."""

    def back_up(self, engine: Engine, file: Path) -> None:
        """Make a copy of the database and look whether it is whole.

        Raises InvalidArgument where that is the work of the database's own tools.
        """
        raise NotImplementedError

    makes_copies: ClassVar[bool] = False
    """Whether ``back_up`` works."""

    @abc.abstractmethod
    def vacuum(self, engine: Engine, names: Names) -> None:
        """Give the room of deleted rows in a store's tables back."""

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        """Create a schema that is not there, and commit nothing."""
        raise NotImplementedError


def transactional(connection: Connection) -> None:
    """Let a connection have transactions that a program has left without: locks would be gone after each statement."""
    if autocommits(connection):
        connection.execution_options(isolation_level="READ COMMITTED")


def refuse_to_join(names: Names) -> ConfigurationError:
    """Return the error for a connection that has no transaction to be part of."""
    return ConfigurationError(
        f"{names}: the connection commits every statement by itself (AUTOCOMMIT), so an upgrade cannot be part of a "
        "transaction on it. Nothing was changed. Give a connection in a transaction, as engine.begin() does, or call "
        "upgrade_schema() without connection=."
    )


def autocommits(connection: Connection) -> bool:
    """Whether a connection has no transactions."""
    # The driver knows best: a caller may have said it to SQLAlchemy or to the driver itself.
    driver: Any = connection.connection.driver_connection
    said = driver.get_autocommit() if hasattr(driver, "get_autocommit") else getattr(driver, "autocommit", False)
    return said is True
