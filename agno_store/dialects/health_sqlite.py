"""What a SQLite file is looked at for: its journal, its folder, its disk, and whether it is whole."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.findings import ERROR, OK, WARNING, Check, Finding, Health, Look, size
from agno_store.dialects.rights_sqlite import file_of
from agno_store.dialects.sqlite_driver import BUSY
from agno_store.dialects.writer import writer

LITTLE_SPACE, NO_SPACE = 256 * 1024**2, 16 * 1024**2
"""Bytes. The log of a large write, and the copy of a table that an upgrade rebuilds, need room besides the file."""

LONG_LOG = 256 * 1024**2
"""Bytes of write-ahead log: some reader keeps it from being folded back into the file."""

MOUNTS = Path("/proc/mounts")

SHARED = re.compile(r"nfs|cifs|smb|9p|afs|ceph|glusterfs|lustre|fuse\.sshfs|vboxsf|vmhgfs|drvfs")
"""File systems of other machines, on which SQLite's locks and its shared memory do not hold
(https://www.sqlite.org/faq.html#q5, https://www.sqlite.org/wal.html)."""

FULL, NORMAL = 2, 1

SHORT_WAIT = 1.0
"""Seconds that a write transaction may well last."""


class SQLiteHealth(Health):
    isolation = ("SERIALIZABLE", "AUTOCOMMIT")

    @property
    def checks(self) -> Mapping[str, Check]:
        return {
            "server": _version,
            "rights": _rights,
            "lock": _lock,
            "journal": _journal,
            "synchronous": _synchronous,
            "foreign keys": _foreign_keys,
            "integrity": _integrity,
        }

    def outside(self, url: URL) -> Iterator[Finding]:
        file = file_of(url)
        if file is not None:
            yield from _file(file)
            yield from _disk(file)


def _file(file: Path) -> Iterator[Finding]:
    kind = file_system(file)
    if kind is not None and SHARED.match(kind):
        yield Finding(
            "file system",
            WARNING,
            f"{file} is on {kind}: SQLite's locks do not hold between machines, and two of them can destroy it",
            "Keep the file on a disk of this machine, or use PostgreSQL or MySQL",
        )
    if not os.path.exists(file):  # nor where it may not be looked for, which Path.exists() raises
        folder = _folder_of(file)
        if _may_write(folder):
            yield Finding("file", OK, f"{file} is not there yet; the first use makes it")
        else:
            cure = f"Let its account write the folder: chmod u+w {shlex.quote(str(folder))}"
            yield Finding("file", ERROR, f"{file} is not there, and this process may not make it in {folder}", cure)
        return
    log = file.with_name(f"{file.name}-wal")
    long = log.stat().st_size if log.exists() else 0
    if long > LONG_LOG:
        yield Finding(
            "file",
            WARNING,
            f"{file} has {size(file.stat().st_size)}, and {size(long)} of write-ahead log, which a reader that never "
            "ends its transaction keeps from being folded back",
            f"End that reader, then run: sqlite3 {shlex.quote(str(file))} 'PRAGMA wal_checkpoint(TRUNCATE)'",
        )
    else:
        yield Finding("file", OK, f"{file} has {size(file.stat().st_size)}")


def _disk(file: Path) -> Iterator[Finding]:
    folder = _folder_of(file)
    free = shutil.disk_usage(folder).free
    wanted = max(LITTLE_SPACE, file.stat().st_size if os.path.exists(file) else 0)
    said = f"{size(free)} are free in {folder}"
    if free >= wanted:
        yield Finding("disk", OK, said)
        return
    level = ERROR if free < NO_SPACE else WARNING
    yield Finding("disk", level, f"only {said}", f"Free at least {size(wanted)}: an upgrade may copy whole tables")


def _folder_of(file: Path) -> Path:
    """Return the folder that is there, and in which the file is or would be."""
    return next((folder for folder in file.parents if os.path.isdir(folder)), Path("/"))


def _may_write(path: Path) -> bool:
    if os.access in os.supports_effective_ids:
        return os.access(path, os.W_OK, effective_ids=True)
    return os.access(path, os.W_OK)


def file_system(file: Path) -> str | None:
    """Return what kind of file system a file is on, where the operating system tells."""
    if not MOUNTS.exists():
        return None
    place, found = file.absolute(), {}
    for line in MOUNTS.read_text(errors="replace").splitlines():
        _, point, kind, *_ = line.split()
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        if folder == place or folder in place.parents:
            found[folder] = kind  # of two on one folder the later one counts
    return found[max(found, key=lambda folder: len(folder.parts))] if found else None


def _version(look: Look) -> Iterator[Finding]:
    yield Finding("server", OK, f"SQLite {look.connection.exec_driver_sql('SELECT sqlite_version()').scalar()}")


def _rights(look: Look) -> Iterator[Finding]:
    file = file_of(look.url)
    if file is None or not _only_reads(look, file):
        yield Finding("rights", OK, "this process may read, write and upgrade")
        return
    what, cure = look.dialect.rights.lacking(look.connection, look.url, look.names, "UPDATE")
    yield Finding("rights", WARNING, f"{what}; it can only read", cure)


def _only_reads(look: Look, file: Path) -> bool:
    modes = {f"{name}={value}" for name, value in look.url.query.items()}
    if look.connection.exec_driver_sql("PRAGMA query_only").scalar() or modes & {"mode=ro", "immutable=1"}:
        return True
    return not (_may_write(file) and _may_write(file.parent))


def _driver(look: Look) -> Any:
    return look.connection.connection.dbapi_connection


def _lock(look: Look) -> Iterator[Finding]:
    file, driver = file_of(look.url), _driver(look)
    if file is None or _only_reads(look, file) or driver.in_transaction:  # one that always is tells nothing
        return
    run = look.connection.exec_driver_sql
    waited = run("PRAGMA busy_timeout").scalar()
    run(f"PRAGMA busy_timeout = {SHORT_WAIT * 1000:.0f}")
    try:
        run("BEGIN IMMEDIATE")
        run("ROLLBACK")
        yield Finding("lock", OK, "nobody has been writing for long")
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", BUSY) & 0xFF
        if code == BUSY:
            yield Finding(
                "lock",
                WARNING,
                f"{writer(look.connection)} has had a write transaction open for {SHORT_WAIT:g} s; every writer waits",
                "Wait for it, or end that process",
            )
        elif not look.dialect.is_denied(error):
            raise
    finally:
        run(f"PRAGMA busy_timeout = {waited}")


def _journal(look: Look) -> Iterator[Finding]:
    mode = str(look.connection.exec_driver_sql("PRAGMA journal_mode").scalar()).lower()
    if mode == "wal" or file_of(look.url) is None:
        yield Finding("journal", OK, f"journal_mode is {mode.upper()}")
        return
    level = ERROR if mode in ("off", "memory") else WARNING
    harm = "a killed writer destroys the file" if level == ERROR else "readers and the writer wait for each other"
    file = file_of(look.url)
    yield Finding(
        "journal",
        level,
        f"journal_mode is {mode.upper()}, not WAL: {harm}",
        f"sqlite3 {shlex.quote(str(file))} 'PRAGMA journal_mode = WAL'  (the file must not be in use)",
    )


def _synchronous(look: Look) -> Iterator[Finding]:
    level = int(look.connection.exec_driver_sql("PRAGMA synchronous").scalar() or 0)
    if level >= FULL or file_of(look.url) is None:
        yield Finding("synchronous", OK, "synchronous is FULL: what is committed outlives a power cut")
        return
    said = {NORMAL: "NORMAL: a power cut can lose the last commits"}.get(level, "OFF: a power cut destroys the file")
    yield Finding(
        "synchronous",
        WARNING if level == NORMAL else ERROR,
        f"synchronous is {said}",
        "Run PRAGMA synchronous = FULL on every connection of your engine, or give db_file= instead of db_engine=",
    )


def _foreign_keys(look: Look) -> Iterator[Finding]:
    run, look_at = look.connection.exec_driver_sql, sa.inspect(look.connection)
    tables = [table for table in look.names.tables if look_at.has_table(table)]
    orphans = [row for table in tables for row in run(f"PRAGMA foreign_key_check({look.quoted(table)})").fetchmany(9)]
    if orphans:
        table = str(orphans[0][0])
        yield Finding(
            "foreign keys",
            ERROR,
            f"there are rows without the session they belong to, in {table}",
            f"DELETE FROM {look.quoted(table)} WHERE session_id NOT IN (SELECT session_id FROM "
            f"{look.quoted(look.names.sessions)});",
        )
    elif not run("PRAGMA foreign_keys").scalar():
        yield Finding(
            "foreign keys",
            WARNING,
            "foreign keys are not enforced on this connection: what other programs delete leaves orphans",
            "Run PRAGMA foreign_keys = ON on every connection of your engine, or give db_file= instead of db_engine=",
        )
    else:
        yield Finding("foreign keys", OK, "foreign keys are enforced, and no row is without its session")


def _integrity(look: Look) -> Iterator[Finding]:
    said = [str(row[0]) for row in look.connection.exec_driver_sql("PRAGMA quick_check(5)")]
    if said == ["ok"]:
        yield Finding("integrity", OK, "quick_check finds the file whole")
        return
    file = shlex.quote(str(file_of(look.url)))
    yield Finding(
        "integrity",
        ERROR,
        f"the file is damaged: {'; '.join(said)}",
        f"Restore a backup; where there is none: sqlite3 {file} .recover | sqlite3 {file}.recovered",
    )
