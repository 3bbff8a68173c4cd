"""One transaction at a server, for the tests of the servers."""

from __future__ import annotations

from sqlalchemy import create_engine


def run(url: str, *statements: str) -> object:
    """Run the statements in one transaction and return the last one's first value."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return results[-1].scalar() if results[-1].returns_rows else None
    finally:
        engine.dispose()
