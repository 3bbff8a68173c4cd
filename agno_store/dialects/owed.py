"""Answers that a connection of PyMySQL's may still be owed: ours know it, those of a caller's engine do not.

A signal's handler may raise in the middle of a call. What was sent is answered all the same, and what is sent next gets
that answer: another user's rows, or it waits without an end for the rest of one.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

DRIVER = "pymysql"


def may_be_owed(connection: Connection, error: Exception) -> bool:
    """Whether a connection may be owed an answer after an error, which is none of the driver's then."""
    if connection.dialect.driver != DRIVER or isinstance(error, SQLAlchemyError):
        return False
    if connection.closed or connection.invalidated:
        return False
    told: bool | None = getattr(connection.connection.dbapi_connection, "is_owed", None)  # by those of ours
    return _came_through_driver(error) if told is None else told


def _came_through_driver(error: Exception) -> bool:
    step = error.__traceback__
    while step is not None:
        module: str = step.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == DRIVER:
            return True
        step = step.tb_next
    return False
