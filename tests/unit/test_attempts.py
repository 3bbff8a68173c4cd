"""How often a transaction is run again, by the errors of the driver that its attempts met."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg import OperationalError as Gone
from psycopg import errors
from pymysql import OperationalError as Refused
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from agno_store import attempts
from agno_store.attempts import Attempts
from agno_store.dialects import by_name
from agno_store.dialects.mysql import ERROR_DURING_COMMIT
from agno_store.names import Names

OTHERS = OperationalError("UPDATE", {}, errors.SerializationFailure())
RACE = IntegrityError("INSERT", {}, errors.UniqueViolation())
LOST = OperationalError("UPDATE", {}, Gone())
REFUSED = OperationalError(None, {}, Gone())
READ_ONLY = OperationalError("UPDATE", {}, errors.ReadOnlySqlTransaction())
IN_COMMIT = OperationalError("COMMIT", {}, Refused(ERROR_DURING_COMMIT, "Got error 149 during COMMIT"))
MISTAKE = ProgrammingError("UPDATE", {}, errors.UndefinedTable())

End = tuple[DBAPIError | None, bool]
"""The error of an attempt, if any, and whether it has sent COMMIT."""


class Run:
    """A transaction whose attempts end like that; ``count`` of them were made, and the last one succeeded, or not."""

    def __init__(self, *ends: End, repeatable: bool = False, brief: bool = False, of: str = "postgresql") -> None:
        left, self.recycled = iter(ends), 0
        self.attempts = Attempts(Names(), by_name(of), self._recycle, repeatable=repeatable, brief=brief)

        def once() -> bool:
            error, commits = next(left)
            self.attempts.committing |= commits
            if error is not None:
                raise error
            return True

        try:
            self.succeeded = self.attempts.run(once)
        except DBAPIError:
            self.succeeded = False
        self.count = self.attempts.count

    def _recycle(self) -> None:
        self.recycled += 1


@pytest.mark.parametrize(
    ("run", "count", "succeeded", "unknown"),
    [
        (lambda: Run((LOST, False), (None, True)), 2, True, False),
        (lambda: Run((LOST, True)), 1, False, True),
        (lambda: Run((LOST, True), (None, True), repeatable=True), 2, True, True),
        (lambda: Run((OTHERS, True), (LOST, False), (None, True)), 3, True, False),  # the second had not sent COMMIT
        (lambda: Run((IN_COMMIT, True), (None, True), of="mysql"), 2, True, True),
    ],
    ids=["before COMMIT", "in COMMIT", "in COMMIT, and repeatable", "after a COMMIT that was refused", "cluster"],
)
def test_who_loses_the_connection_tries_again_unless_it_may_be_stored(
    run: Callable[[], Run], count: int, succeeded: bool, unknown: bool
) -> None:
    tried = run()
    assert (tried.count, tried.succeeded, tried.attempts.unknown) == (count, succeeded, unknown)


@pytest.mark.parametrize(("error", "most", "recycled"), [(RACE, 5, 0), (READ_ONLY, 3, 3), (MISTAKE, 1, 0)])
def test_what_does_not_pass_is_tried_as_often_as_may_help(error: DBAPIError, most: int, recycled: int) -> None:
    tried = Run(*[(error, False)] * 9)
    assert (tried.count, tried.recycled, tried.attempts.surprised) == (most, recycled, error is MISTAKE)


def test_a_server_has_to_be_back_within_some_seconds_of_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PATIENCE", 0.3)
    assert 1 < Run(*[(LOST, False)] * 99).count < 99
    monkeypatch.setattr(attempts, "MOST", {attempts.Cause.OTHERS: 2})
    assert 2 < Run(*[(OTHERS, False)] * 99).count < 99  # who may be outrun is given the same time


def test_what_is_brief_is_done_once_more_where_there_was_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PATIENCE", 0.0)
    monkeypatch.setattr(attempts, "MOST", {attempts.Cause.OTHERS: 3})
    counts = [Run(*[(error, False)] * 9, brief=True).count for error in (LOST, REFUSED, RACE, READ_ONLY, OTHERS)]
    assert counts == [2, 1, 1, 1, 3]
