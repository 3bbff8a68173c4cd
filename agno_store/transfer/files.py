"""Files of sessions: a first line that says what it is, one line for each session, and a last one that counts them.

A file is written beside its place and put there when it is whole; so what is there is never half an export.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from agno_store.dialects.files import is_of_database
from agno_store.errors import AgnoStoreError, InvalidArgument
from agno_store.release import __version__
from agno_store.transfer.bringing import Watch
from agno_store.transfer.conversation import Content, Conversation, Malformed, Problem
from agno_store.transfer.counts import Exported
from agno_store.transfer.lines import Line, dumped, written
from agno_store.transfer.reading import EVERYTHING, Db, Reading
from agno_store.transfer.statements import Which

HEADER, VERSION = "agno_store_export", 1
"""What the first line says, and the version of the format."""

_END = "end"
_GZIP = b"\x1f\x8b"
_IN_MEMORY = 8_000_000
"""Bytes of one line; a longer one waits in a temporary file until it is whole."""

_BROKEN = (EOFError, OSError, zlib.error)
"""What a file raises that cannot be read to its end."""

_STANDARD = ("stdin", "stdout", "stderr")
_DESCRIPTOR = rf"/(dev/(?P<name>{'|'.join(_STANDARD)})|(dev|proc/self)/fd/(?P<number>\d{{1,9}}))"

_URL = re.compile(r"[a-z][a-z0-9+]+:/")  # a Path has made one slash of two

File = str | Path | IO[bytes]


def _refuse_no_file(file: object) -> None:
    """Raise InvalidArgument for a database's URL, in a message without its password, and for a stream of text."""
    if isinstance(file, (str, Path)) and _URL.match(str(file)):
        raise InvalidArgument(
            "A URL is no file. Give the store there, open_db(url), or agno's own tables, AgnoTables(url); on the "
            "command line that is agno-store copy, and import --from-url."
        )
    if isinstance(file, io.TextIOBase):
        raise InvalidArgument(f"{_name(file)} is a stream of text. Open it for bytes, as with open(path, 'rb').")


def _name(file: Any) -> Any:
    return file if isinstance(file, (str, Path)) else getattr(file, "name", file)


# -- writing -------------------------------------------------------------------------------------------


def export(db: Db, target: File, which: Which = EVERYTHING, watch: Watch | None = None) -> Exported:
    """Write sessions into a file, or what can be written to. What cannot be read is left out, and a problem.

    Raises SchemaError where the store is none that this release works with, InvalidArgument for what is no file and
    for a database, AgnoStoreError where the file cannot be written; then what was there before still is.
    """
    _refuse_no_file(target)
    db.schema_status().raise_unless_usable()
    reading, done = Reading(db, which), Exported()
    with put_there(target) as file:
        file.write(_line({HEADER: VERSION, "release": __version__}))
        for conversation in reading.conversations():
            assert isinstance(conversation, Conversation)
            _write(file, conversation, done)
            if watch is not None:
                watch(reading.passed, reading.total)
        file.write(_line({_END: {"sessions": done.sessions}}))
    return done


def _write(file: IO[bytes], conversation: Conversation, done: Exported) -> None:
    runs = 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as line:
        try:
            content = conversation.read()
            if content is None:
                return
            for piece in written(content):
                line.write(piece.encode())
                runs += 1
        except Malformed as error:
            done.problems.append(Problem(conversation.place, str(error)))
            return
        line.seek(0)
        while some := line.read(_IN_MEMORY):
            file.write(some)
    done.sessions += 1
    done.summaries += content.summary is not None
    done.runs += runs - 3 - (content.summary is not None)  # the others are the session, its summary, and the brackets


def _line(value: Any) -> bytes:
    return f"{dumped(value)}\n".encode()


@contextmanager
def put_there(target: File) -> Iterator[IO[bytes]]:
    """Give what to write to; a file is put in its place when all is written, and not at all if that fails.

    Raises InvalidArgument where that would replace a database, AgnoStoreError where nothing can be written.
    """
    try:
        if not isinstance(target, (str, Path)):
            yield target
            target.flush()
            return
        place = Path(target)
        with _opened(place) as file, _packed(file, place) as packed:
            yield packed
    except AgnoStoreError:  # of which some are OSErrors
        raise
    except OSError as error:
        raise AgnoStoreError(f"{_name(target)} cannot be written: {error.strerror or error}.") from error


def descriptor(file: str | Path) -> int | None:
    """Return which open descriptor a path is a name of, as ``/dev/stdout`` is, and what a shell puts for ``>(...)``."""
    named = re.fullmatch(_DESCRIPTOR, str(file))
    return None if named is None else int(named["number"] or _STANDARD.index(named["name"]))


def _opened(place: Path) -> AbstractContextManager[IO[bytes]]:
    # Neither what is no file must be replaced nor what a shell has opened, perhaps to write behind what is there.
    if (number := descriptor(place)) is not None:
        return os.fdopen(os.dup(number), "wb")
    if place.exists() and not place.is_file():
        return place.open("wb")
    return _replacing(place.resolve())


@contextmanager
def _replacing(place: Path) -> Iterator[IO[bytes]]:
    if is_of_database(place):
        raise InvalidArgument(
            f"{place} is a SQLite database, or belongs to one, and would be replaced. Nothing was written. Choose "
            "another name."
        )
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def _packed(file: IO[bytes], place: Path) -> Iterator[IO[bytes]]:
    if descriptor(place) is not None or place.resolve().suffix != ".gz":
        yield file
        return
    # Without a time or a name in it: of the same sessions the same file is made.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
        yield cast("IO[bytes]", packed)


# -- reading -------------------------------------------------------------------------------------------


@dataclass
class FileSource:
    """The sessions in a file, or in what can be read from, packed or not, that are meant."""

    file: File
    which: Which = EVERYTHING
    passed: int = 0
    _start: int | None = None

    def __post_init__(self) -> None:
        _refuse_no_file(self.file)

    @property
    def can_be_read_again(self) -> bool:
        """Whether what was read once can be read from its beginning, as from a pipe it cannot."""
        if isinstance(self.file, (str, Path)):
            return not Path(self.file).exists() or Path(self.file).is_file()
        return self.file.seekable()

    @property
    def total(self) -> int | None:
        """Bytes of the file; None where that is not known."""
        return os.path.getsize(self.file) if isinstance(self.file, (str, Path)) and Path(self.file).is_file() else None

    def conversations(self) -> Iterator[Conversation | Problem]:
        """Give each session, and in its place what is wrong with a line.

        Raises InvalidArgument for what cannot be read, is no export, or is one of a later release.
        """
        with self._opened() as raw:
            sessions, number, whole = 0, 0, False
            for number, line in self._lines(raw):
                if isinstance(line, Problem):
                    yield line
                    continue
                marks = _mark(line)
                if number == 1 or HEADER in marks:
                    self._refuse_unless_known(marks)
                    sessions, whole = 0, False  # a file behind another one
                elif _END in marks:
                    whole = True
                    yield from _counted(number, sessions, marks[_END])
                else:
                    sessions += 1
                    yield from self._session(number, line)
            if not number:
                self._refuse_unless_known({})
            if not whole:
                yield Problem("the end", "the last line is missing, so there may have been more")

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedReader[Any]]:
        if not isinstance(self.file, (str, Path)):
            with _buffered(self.file) as stream:
                self._start = _again(stream, self._start)
                yield stream
            return
        try:
            with open(self.file, "rb") as file:
                yield file
        except AgnoStoreError:  # of which some are OSErrors
            raise
        except OSError as error:
            raise InvalidArgument(f"{self.file} cannot be read: {error.strerror or error}.") from error

    def _lines(self, file: io.BufferedReader[Any]) -> Iterator[tuple[int, str | Problem]]:
        """Give each line that is not empty, with its number."""
        number = 0
        try:
            for number, line in enumerate(gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file, 1):
                self.passed = _position(file)
                try:
                    text = line.decode().rstrip("\r\n")
                except UnicodeDecodeError as error:
                    yield number, Problem(f"line {number}", f"it is no UTF-8: {error.reason}")
                    continue
                if text.strip():
                    yield number, text
        except _BROKEN as error:
            if isinstance(error, AgnoStoreError):
                raise
            yield number + 1, Problem(f"line {number + 1}", f"the file cannot be read any further: {error}")

    def _session(self, number: int, text: str) -> Iterator[Conversation | Problem]:
        place = f"line {number}"
        try:
            line = Line.of(text)
            place = f"line {number}, session {line.session['session_id']!r}"
            content, stamp = line.content, line.stamp
        except Malformed as error:
            yield Problem(place, str(error))
            return
        if self._is_meant(content):
            yield Conversation(content.session["session_id"], place, lambda: content, stamp, len(text))

    def _is_meant(self, content: Content) -> bool:
        try:
            return self.which.fits(content.session)
        except (KeyError, TypeError):  # without a time, which is found out when it is written
            return True

    def _refuse_unless_known(self, marks: dict[str, Any]) -> None:
        name = _name(self.file)
        version = marks.get(HEADER)
        if not isinstance(version, int):
            raise InvalidArgument(
                f"{name} is no export of agno_store: its first line must be {dumped({HEADER: VERSION})}. Nothing was "
                "written."
            )
        if version > VERSION:
            raise InvalidArgument(
                f"{name} has version {version} of the format, of agno_store {marks.get('release')}; this release "
                f"({__version__}) knows up to {VERSION}. Run: pip install --upgrade agno-store"
            )


def _mark(line: str) -> dict[str, Any]:
    """Return what a first or last line says; nothing of a session's line, which is not looked through."""
    if len(line) > 1000 or not line.lstrip("{ ").startswith((f'"{HEADER}"', f'"{_END}"')):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _counted(number: int, sessions: int, said: Any) -> Iterator[Problem]:
    expected = said.get("sessions") if isinstance(said, dict) else None
    if expected != sessions:
        yield Problem(f"line {number}", f"it counts {expected} sessions, and there are {sessions} before it")


@contextmanager
def _buffered(stream: IO[bytes]) -> Iterator[io.BufferedReader[Any]]:
    """Give what can be looked into before it is read; the stream stays open."""
    if isinstance(stream, io.BufferedReader):
        yield stream
        return
    buffered = io.BufferedReader(cast("io.RawIOBase", stream))
    try:
        yield buffered
    finally:
        buffered.detach()


def _again(stream: io.BufferedReader[Any], start: int | None) -> int | None:
    """Go to where a stream began, from the second time on; return where that is."""
    if start is not None:
        stream.seek(start)
    return stream.tell() if stream.seekable() else None


def _position(file: io.BufferedReader[Any]) -> int:
    try:
        return file.tell()
    except OSError:  # a pipe
        return 0
