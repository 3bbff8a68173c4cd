"""What every database has to answer."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool

from agno_store.errors import DatabaseUnreachable
from agno_store.names import Names
from agno_store.urls import redacted, without_secrets


class Dialect(abc.ABC):
    """One kind of database."""

    title: ClassVar[str]
    """What people call it."""

    driver_names: ClassVar[Mapping[str, str]]
    """The names that URLs give it, with SQLAlchemy's name for each."""

    default_driver: ClassVar[str]

    packages: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What pip calls a driver, where it is another name."""

    ddl_rolls_back: ClassVar[bool]
    """Whether a CREATE or ALTER is undone when its transaction is."""

    one_transaction: ClassVar[bool] = False
    """Whether a whole upgrade is one transaction, begun by ``upgrading``."""

    has_poolers: ClassVar[bool] = False
    """Whether a pooler that hands out connections per transaction may be in between."""

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

    def prepare(self, pool: Pool) -> None:
        """Set up the connections of an engine of our own."""
        return None

    def shares(self, url: URL) -> bool:
        """Whether two stores with this URL mean the same database."""
        return True

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

    @contextmanager
    def connected(self, engine: Engine) -> Iterator[Connection]:
        """Give a connection that is in no transaction, whatever a caller's listeners did when it was handed out.

        Raises DatabaseUnreachable for what a driver raises besides its own errors, such as a TypeError for an
        option that it does not know.
        """
        try:
            connection = engine.connect()
        except (TypeError, ValueError, OSError, RuntimeError) as error:
            said = without_secrets(f"{type(error).__name__}: {error}", engine.url)
            raise DatabaseUnreachable(
                f"{redacted(engine.url)}: no connection could be had: {said}. Is the URL right, with its options?"
            ) from error
        with connection:
            connection.rollback()
            yield connection

    @contextmanager
    def transaction(self, engine: Engine, *, writes: bool) -> Iterator[Connection]:
        """Run one transaction: committed at the end, rolled back on an error."""
        with self.connected(engine) as connection:
            if writes and _autocommits(connection):
                # A caller's engine: there the row locks would be gone after each statement.
                connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                yield connection

    @abc.abstractmethod
    def is_transient(self, error: DBAPIError) -> bool:
        """Whether the same transaction may well succeed when it is run again from its start."""

    # -- upgrading ----------------------------------------------------------------------------

    @abc.abstractmethod
    def upgrading(
        self, connection: Connection, names: Names, *, timeout: float, pooled: bool
    ) -> AbstractContextManager[None]:
        """Hold the upgrade lock of ``names`` on ``connection``, which must not be in a transaction.

        Raises UpgradeLocked after ``timeout`` seconds. A killed holder's lock is free at once.
        """

    @contextmanager
    def reflecting(self, connection: Connection, names: Names) -> Iterator[tuple[Connection, Names]]:
        """Give a connection and names under which SQLAlchemy reads the tables of ``names`` back as they are."""
        yield connection, names

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        """Create a schema that is not there, and commit nothing."""
        raise NotImplementedError


def _autocommits(connection: Connection) -> bool:
    # The driver knows best: a caller may have said it to SQLAlchemy or to the driver itself.
    driver: Any = connection.connection.dbapi_connection
    said = driver.get_autocommit() if hasattr(driver, "get_autocommit") else getattr(driver, "autocommit", False)
    return said is True
