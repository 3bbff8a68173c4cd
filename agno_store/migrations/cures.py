"""What to do about tables that are not as the revisions make them."""

from __future__ import annotations

from collections.abc import Sequence

from alembic.script import Script
from sqlalchemy.engine import Connection

from agno_store.dialects import of
from agno_store.errors import SchemaDrifted
from agno_store.migrations import layouts
from agno_store.migrations.chain import Chain, Position
from agno_store.names import Names
from agno_store.tables import HEAD
from agno_store.urls import redacted


def mending(names: Names, url: str) -> str:
    """Say how to put back what differs; ``url`` without its secrets."""
    return (
        "Rename back what was renamed, undo what was changed, and make again what is missing (docs/howto/recover.md). "
        f"How each part was made: {names.command('upgrade --sql --from base', url)}"
    )


def drifted(connection: Connection, names: Names, chain: Chain, current: str | None, missing: list[str]) -> Exception:
    """Return what to raise where the tables lack something of the revision that they are recorded at."""
    url = redacted(connection.engine.url)
    return SchemaDrifted(
        f"{names} is recorded at {current}, but {'; '.join(missing)}. Somebody changed the tables. "
        f"{mending(names, url)}  What differs besides: {names.command('check --drift', url)}"
        + _of_a_killed_downgrade(connection, names, chain, chain.applied(Position(current))),
        store=str(names),
        current=current,
        head=HEAD,
        differences=missing,
    )


def _of_a_killed_downgrade(connection: Connection, names: Names, chain: Chain, applied: Sequence[Script]) -> str:
    """Name the downgrade to run again, where one that was killed can have left the tables like that.

    It stops within the revision that is recorded: all that those below it have made is there.
    """
    if of(connection.engine).ddl_rolls_back or len(applied) < 2:
        return ""
    below = applied[-2].revision
    if layouts.differing(connection, names, chain, below, only_missing=True):
        return ""
    again = names.command(f"downgrade --to {below}", redacted(connection.engine.url))
    return f"  Only if a downgrade was killed, take a backup and run it again: {again}"
