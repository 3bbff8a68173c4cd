"""A database in memory, to try revisions on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool


@contextmanager
def scratch() -> Iterator[Engine]:
    """Give an engine on an empty database that is gone afterwards."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    try:
        yield engine
    finally:
        engine.dispose()
