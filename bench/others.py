"""The works that are no turns: listings, starting up, memory, and room on the disk."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agno_store import open_db
from bench.clock import Task, interleaved
from bench.gauges import stored
from bench.payloads import run, session_data
from bench.places import Place
from bench.raw import Raw
from bench.results import Detail, Line, Result
from bench.sizes import Size
from bench.stores import Store
from bench.turns import opened

USERS, ON_A_PAGE = 10, 20
MEGABYTE = 1_000_000
HEAVY = ("alembic", "agno", "typer", "rich")
"""What a program that only stores and reads must not be made to import."""

START = """
import sys, time, json
began = time.perf_counter()
import sqlalchemy
sql = time.perf_counter()
import {driver}
driver = time.perf_counter()
from agno_store import open_db
imported = time.perf_counter()
db = open_db({url!r})
assert db.get_session("s0") is not None
done = time.perf_counter()
times = dict(sqlalchemy=sql - began, driver=driver - sql, package=imported - driver, first_call=done - imported)
times |= dict(over=done - sql, modules=[name for name in {heavy!r} if name in sys.modules])
print(json.dumps(times))
"""
ALONE = """
import sys, time, json
began = time.perf_counter()
import sqlalchemy
sql = time.perf_counter()
import {driver}
with sqlalchemy.create_engine({url!r}).connect() as connection:
    assert connection.exec_driver_sql("SELECT session_id FROM agent_sessions").all()
print(json.dumps(dict(over=time.perf_counter() - sql)))
"""
"""The same with SQLAlchemy and the driver alone."""
COMPRESS = "ALTER TABLE {runs} MODIFY run_data LONGTEXT COMPRESSED CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
DRIVERS = {"sqlite": "sqlite3", "postgresql": "psycopg", "mysql": "pymysql"}


def in_a_new_process(work: Callable[..., Any], *args: Any) -> Any:
    """Return what ``work`` returns in an interpreter that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def listing(place: Place, size: Size) -> Result:
    """The newest sessions of a user who has a tenth of them, and a page far behind."""
    each = size.sessions // USERS
    with opened(Raw, place) as raw, opened(Store, place) as store:
        for system in (raw, store):
            system.make()
            for user in range(USERS):
                system.fill((f"u{user}-{n:06}" for n in range(each)), 0, f"user-{user}")
            place.analyze()
        last = raw.newest("user-3", (size.page - 1) * ON_A_PAGE)[-1]
        before = (last[4], last[0])
        after = store.newest("user-3", (size.page - 1) * ON_A_PAGE).next
        assert [row[0] for row in raw.newest("user-3", 3, before)] == [
            found.session_id for found in store.newest("user-3", ON_A_PAGE, after)[:3]
        ]
        assert len(raw.newest_as_ours("user-3", ON_A_PAGE)) == ON_A_PAGE
        tasks = {
            "raw": Task(lambda _: raw.newest("user-3", ON_A_PAGE)),
            "raw, the same columns": Task(lambda _: raw.newest_as_ours("user-3", ON_A_PAGE)),
            "raw, far": Task(lambda _: raw.newest("user-3", ON_A_PAGE, before)),
            "ours": Task(lambda _: store.newest("user-3", ON_A_PAGE)),
            "ours, far": Task(lambda _: store.newest("user-3", ON_A_PAGE, after)),
        }
        found = interleaved(tasks, rounds=size.rounds, times=size.times)
    what = f"newest {ON_A_PAGE} of {each:,} sessions of a user, {size.sessions:,} in all"
    far = f"page {size.page} over page 1"
    same, note = found["ours"].over(found["raw, the same columns"]), "over a raw SELECT of the same columns"
    lines = [
        Line("listing", what, place.title, 1.5, same, note=note),
        Line("listing", what, place.title, None, found["ours"].over(found["raw"]), note="over one of 6 of the 18"),
        Line("listing", far, place.title, 1.2, found["ours, far"].over(found["ours"]), note="with after="),
    ]
    return Result(lines, [Detail("listing", name, place.title, name, times) for name, times in found.items()])


def startup(place: Place, size: Size) -> Result:
    """Import, construct, and the first call on a database that is there, in fresh processes."""
    with opened(Store, place) as store:
        store.make()
        store.fill(["s0"], 5)
    names = {"driver": DRIVERS[place.backend], "url": place.url, "heavy": HEAVY}
    with TemporaryDirectory() as compiled:
        # As installed, that is compiled: the first start sees to it, and does not count.
        variables = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        started = [
            [_started(script.format(**names), variables) for script in (START, ALONE)] for _ in range(size.starts + 1)
        ][1:]
    found, alone = zip(*started, strict=True)
    middle = {name: statistics.median(one[name] for one in found) * 1000 for name in found[0] if name != "modules"}
    middle["without_a_store"] = statistics.median(one["over"] for one in alone) * 1000
    heavy = found[0]["modules"]
    note = f"over importing SQLAlchemy; driver, engine and a SELECT without a store: {middle['without_a_store']:.3g} ms"
    note += f"; imports {', '.join(heavy)}" if heavy else ""
    line = Line("startup", "import, construct, first call", place.title, 60, middle["over"], "ms", note=note)
    return Result([line], [Detail("startup", "fresh process", place.title, Store.name, more=middle)])


def _started(script: str, variables: Mapping[str, str]) -> Any:
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def memory(place: Place, size: Size) -> Result:
    """What listing, pruning and reading a very long session takes of a process's memory."""
    in_a_new_process(_filled, place, size)
    acts = _listed, _streamed, _read_at_once, _pruned
    listed, streamed, read, pruned = (in_a_new_process(act, place, size) for act in acts)
    what = f"list {size.sessions:,} sessions, 1,000 at a time"
    long = f"read a session of {size.longest:,} runs"
    lines = [
        Line("memory", what, place.title, 50, listed, "MB"),
        Line("memory", f"prune {size.sessions:,} sessions", place.title, 50, pruned, "MB"),
        Line("memory", f"{long} as a stream", place.title, 50, streamed, "MB", note=f"at once: {read or 0:.0f} MB"),
    ]
    return Result(lines)


def _filled(place: Place, size: Size) -> None:
    with opened(Store, place) as store:
        store.make()
        store.fill((f"s{n:06}" for n in range(size.sessions)), 0)
        store.fill(["long"], size.longest)


def _listed(place: Place, size: Size) -> float | None:
    def act(store: Any) -> None:
        page = store.newest("user-7", 1000)
        seen = len(page)
        while page.next is not None:
            page = store.newest("user-7", 1000, page.next)
            seen += len(page)
        assert seen == size.sessions + 1, seen  # and the one with many runs

    return _growth(place, act)


def _streamed(place: Place, size: Size) -> float | None:
    def act(store: Any) -> None:
        assert sum(1 for _ in store.db.iter_runs("long")) == size.longest

    return _growth(place, act)


def _read_at_once(place: Place, size: Size) -> float | None:
    def act(store: Any) -> None:
        assert len(store.db.get_session("long").runs) == size.longest

    return _growth(place, act)


def _pruned(place: Place, size: Size) -> float | None:
    def act(store: Any) -> None:
        removed = store.db.prune("1d")
        assert (removed.sessions, removed.runs) == (size.sessions + 1, size.longest), removed

    return _growth(place, act)


def _growth(place: Place, act: Callable[[Any], None]) -> float | None:
    """Return by how many megabytes the most memory of this process exceeds that before; None if nobody tells."""
    with opened(Store, place) as store:
        store.db.get_session("s000000")
        before = _memory("VmRSS")
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the most begins anew
        act(store)
        most = _memory("VmHWM")
    return None if before is None or most is None else (most - before) / MEGABYTE


def _memory(name: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


def disk(place: Place, size: Size) -> Result:
    """What sessions of 20 turns take on the disk, over the bytes of their values."""
    turns, ids = 20, [f"session-{number:06}" for number in range(size.stored)]
    with opened(Store, place) as store:
        store.make()  # first: a file of SQLite's has pages as its maker likes them
        with opened(Raw, place) as raw:
            raw.make()
            empty = stored(place)
            raw.fill(ids, turns)
        plain = stored(place) - empty
        payload = _filled_by_turns(store.db, ids, turns)
    taken = stored(place) - empty - plain
    what, note = f"{size.stored:,} sessions of {turns} turns, over payload and keys", "the raw driver's plain tables"
    more = {"bytes": taken, "plain_bytes": plain, "payload_bytes": payload}
    lines = [Line("disk", what, place.title, 1.15, taken / payload, note=f"{note}: {plain / payload:.3g} ×")]
    if place.backend == "mysql":
        more["compressed_bytes"] = _taken_compressed(place, ids, turns)
        lines.append(Line("disk", f"{what}, runs compressed", place.title, None, more["compressed_bytes"] / payload))
    return Result(lines, [Detail("disk", what, place.title, Store.name, more=more)])


def _filled_by_turns(db: Any, ids: Sequence[str], turns: int) -> int:
    """Store sessions turn by turn, and return how many bytes their values and keys are."""
    payload = 0
    for number, session_id in enumerate(ids):
        session = {"session_id": session_id, "user_id": "user-7", "agent_id": "helper", "created_at": number}
        for turn in range(turns):
            db.upsert_session({**session, "session_data": session_data(session_id, turn)})
            db.upsert_run(run(session_id, turn), session_id, user_id="user-7")
            payload += _bytes(run(session_id, turn)) + len(f"{session_id}{run(session_id, turn)['run_id']}")
        payload += _bytes(session_data(session_id, turns)) + len(session_id)
    return payload


def _taken_compressed(place: Place, ids: Sequence[str], turns: int) -> int:
    """Return what the same sessions take in a store whose runs MariaDB compresses, as docs/howto/tidy.md has it."""
    with contextlib.closing(open_db(place.url, session_table="packed")) as db:
        db.upgrade_schema()
        with place.beside().connect() as connection:
            connection.exec_driver_sql(COMPRESS.format(runs=db.names.runs))
        empty = stored(place)
        _filled_by_turns(db, ids, turns)
    return stored(place) - empty


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
