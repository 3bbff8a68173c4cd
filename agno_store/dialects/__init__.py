"""The only place where databases differ.

A dialect says how to connect, how a transaction begins, who may upgrade, and which of the driver's
errors mean what. Everything above asks ``of(...)`` and never looks at a database's name. Each dialect is
imported when it is first asked for, so a process pays for the one that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from agno_store.dialects import own
from agno_store.dialects.base import Dialect, Scope
from agno_store.errors import ConfigurationError, MissingDriver

__all__ = [
    "ALL",
    "MYSQL",
    "POSTGRESQL",
    "SQLITE",
    "Dialect",
    "OfClass",
    "Scope",
    "by_name",
    "of",
    "of_url",
    "parse_url",
]


def _sqlite() -> Dialect:
    from agno_store.dialects.sqlite import SQLITE

    return SQLITE


def _postgresql() -> Dialect:
    from agno_store.dialects.postgresql import POSTGRESQL

    return POSTGRESQL


def _mysql() -> Dialect:
    from agno_store.dialects.mysql import MYSQL

    return MYSQL


_IMPORTED_BY: Mapping[str, Callable[[], Dialect]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
}

if TYPE_CHECKING:
    SQLITE: Dialect
    POSTGRESQL: Dialect
    MYSQL: Dialect
    ALL: tuple[Dialect, ...]
else:

    def __getattr__(name):
        if name == "ALL":
            return _all()
        if name in ("SQLITE", "POSTGRESQL", "MYSQL"):
            return by_name(name.lower())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _all() -> tuple[Dialect, ...]:
    return _sqlite(), _postgresql(), _mysql()


@cache
def by_name(name: str) -> Dialect:
    """Return the dialect of a database by SQLAlchemy's or the user's name for it."""
    imported_by = _IMPORTED_BY.get(name)
    if imported_by is None:
        known = ", ".join(dialect.title for dialect in _all())
        raise ConfigurationError(f"agno_store works with {known}; {name!r} is none of them.")
    return imported_by()


class OfClass:
    """The dialect of the database that a class names in ``_database``."""

    def __get__(self, instance: Any, owner: Any) -> Dialect:
        found = by_name(owner._database)
        if instance is not None:
            vars(instance)["dialect"] = found  # where it is found before this is asked again
        return found


def of(engine: Engine) -> Dialect:
    """Return the dialect of an engine."""
    return by_name(engine.dialect.name)


def of_url(url: URL) -> Dialect:
    """Return the dialect of a URL, whichever its driver is."""
    return by_name(url.get_backend_name())


def cascades(connection: Connection) -> bool:
    """Whether what refers to a row is sure to be deleted with it: SQLite does that where its engine asks for it."""
    return of(connection.engine).cascades or own.is_own(connection)


def parse_url(url: str | URL, *, asynchronous: bool = False) -> tuple[URL, Dialect]:
    """Return ``url`` with its driver named, and the dialect it belongs to.

    Raises ConfigurationError for a URL that cannot be read or is of another database, or whose driver is not
    ``asynchronous`` as the class needs it; MissingDriver where the driver is not installed. No message repeats the
    URL: it may hold a password.
    """
    try:
        # A secret that is read from a file ends in a newline, which would be part of the database's name.
        parsed = make_url(url.strip() if isinstance(url, str) else url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read. It looks like sqlite:///agents.db, "
            "postgresql+psycopg://user:password@host/database or mysql+pymysql://user:password@host/database; "
            "characters such as @ : / % in a password are written percent-encoded."
        ) from None
    if "@" in (parsed.host or "") + (parsed.database or "") and of_url(parsed) is not _sqlite():
        # What stands there is the rest of a password.
        raise ConfigurationError(
            "The database URL has a second @. In a password @ is written %40, : %3A, / %2F, # %23 and % itself %25."
        )
    name, _, driver = parsed.drivername.partition("+")
    dialect = by_name(name)
    return (_asynchronous if asynchronous else _synchronous)(
        parsed, dialect, dialect.driver_names[name], driver
    ), dialect


def _synchronous(url: URL, dialect: Dialect, name: str, driver: str) -> URL:
    url = url.set(drivername=f"{name}+{driver or dialect.default_driver}")
    try:
        chosen = url.get_dialect()
        if chosen.is_async:
            raise ConfigurationError(
                f"{url.drivername} is an asynchronous driver; this class needs a synchronous one, such as "
                f"{name}+{dialect.default_driver}."
            )
        chosen.import_dbapi()
    except NoSuchModuleError:
        raise ConfigurationError(f"{url.drivername} is not a driver that SQLAlchemy knows.") from None
    except ImportError as error:
        raise MissingDriver(
            f"{dialect.title} needs the Python package of {url.drivername}: {error}. "
            f"Install it with: {dialect.install_hint(driver or dialect.default_driver)}"
        ) from error
    return url


def _asynchronous(url: URL, dialect: Dialect, name: str, driver: str) -> URL:
    known = dialect.async_drivers
    if driver and driver not in known:
        raise ConfigurationError(
            f"{url.drivername} is not a driver that the asynchronous classes work with. Write "
            f"{' or '.join(f'{name}+{each}' for each in known)} in the URL, or {name} alone."
        )
    url = url.set(drivername=f"{name}+{known[driver or next(iter(known))]}")
    try:
        import greenlet  # noqa: F401

        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise MissingDriver(
            f"The asynchronous classes need greenlet, and for {dialect.title} the Python package of {url.drivername}: "
            f'{error}. Install them with: pip install "agno-store[async]"'
        ) from error
    return url


def synchronous_twin(url: URL, dialect: Dialect) -> URL:
    """Return the URL with which a synchronous class reaches the same database as an asynchronous one."""
    return url.set(drivername=f"{url.get_backend_name()}+{dialect.default_driver}")
