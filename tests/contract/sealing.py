"""Codecs for tests, and where a text stands that should stand nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agno_store import open_db
from agno_store.codecs import AesGcm
from tests.contract.database import dump

KEYS = {"2025": bytes(range(32)), "2026": bytes(range(32, 64)), "other": bytes(range(64, 96))}


def codec(*key_ids: str) -> AesGcm:
    """A codec that knows these keys, and seals with the first."""
    return AesGcm({key_id: KEYS[key_id] for key_id in key_ids}, current=key_ids[0])


CODEC = codec("2026")


def rekeyed(db: Any) -> bool:
    """Seal what is in a store, as whoever has opened it; tell whether all of it is sealed."""
    with open_db(db.db_engine.url, db_schema=db.db_schema, codec=codec("2026")) as sealed:
        return bool(sealed.rekey().left == 0)


def places(db: Any, text: str) -> list[tuple[str, str]]:
    """The tables and columns in which a text stands, in letters of any case."""
    return [
        (table, column)
        for table, rows in dump(db).items()
        for row in rows
        for column, value in row.items()
        if isinstance(value, str) and text.casefold() in value.casefold()
    ]


def files(db: Any, text: str) -> Iterable[str]:
    """The files of a SQLite database in which it stands."""
    for file in Path(db.db_engine.url.database).parent.iterdir():
        if file.is_file() and text.casefold().encode() in file.read_bytes().lower():
            yield file.name


def keys_of(db: Any) -> list[str]:
    """The key of each payload that is sealed, and ``clear`` for each that is not."""
    payloads = ("session_data", "agent_data", "team_data", "workflow_data", "metadata", "run_data", "summary", "topics")
    return [
        value.split(":")[-2] if "agno_store:sealed:" in value else "clear"
        for rows in dump(db).values()
        for row in rows
        for column, value in row.items()
        if column in (*payloads, "summary_data") and value is not None
    ]
