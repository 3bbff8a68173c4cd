"""What is asked of a store, done in a transaction of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


@contextmanager
def within(db: Any, connection: sa.Connection) -> Iterator[None]:
    """Have the calls of a store be part of the transaction on a connection, and not committed."""

    def run(_changes: bool, _repeatable: bool, _quick: Any, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return work(connection, *args, **kwargs)

    db._run = run
    try:
        yield
    finally:
        del db._run
