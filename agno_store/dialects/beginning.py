"""How transactions begin on MySQL and MariaDB. Each returns whether there is one to be ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from agno_store.dialects import base
from agno_store.dialects.together import SEVERAL, is_open
from agno_store.sending import BEGIN, TOGETHER, say


def by_itself(connection: Connection) -> bool:
    """Leave it to the statement, or to those that are sent together; where none are taken together, begin."""
    several = connection.info.get(SEVERAL)
    if several is None:
        return begun(connection)
    connection.info[TOGETHER] = several
    return reading(connection)


def reading(connection: Connection) -> bool:
    """Begin nothing for a single statement; the driver does with the first, unless each is committed by itself.

    Where COMMIT begins the next transaction (``completion_type``), there is one all the same.
    """
    driver: Any = connection.connection.driver_connection
    return not base.autocommits(connection) or is_open(driver)


def begun(connection: Connection) -> bool:
    """Begin, where the driver would not."""
    connection.info.pop(TOGETHER, None)  # it would end this transaction
    if base.autocommits(connection):
        say(connection, BEGIN)  # MariaDB takes BEGIN for something else in Oracle's mode
    return True


def transactional(connection: Connection) -> bool:
    """Have SQLAlchemy leave beginning to the driver, whatever a program has told it."""
    base.transactional(connection)
    return True
