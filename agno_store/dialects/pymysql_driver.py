"""PyMySQL as a store uses it: what it would do again and again for the same result, it does once."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import pymysql
from pymysql import connections
from pymysql.constants import SERVER_STATUS
from pymysql.constants.CR import CR_COMMANDS_OUT_OF_SYNC, CR_SERVER_LOST
from pymysql.converters import escape_string
from pymysql.err import Error, OperationalError
from pymysql.protocol import EOFPacketWrapper

from agno_store.dialects import together

MOST = 100
"""Heads of answers that a connection remembers. A store has about thirty."""

LOST = "Lost connection to MySQL server during query"

NULL = 251
"""What stands for a value that is NULL in the place of its length, if that is in one byte."""

BYTES_OF_LENGTH = {252: 2, 253: 3, 254: 8}
"""In how many bytes it stands behind another one."""

LONG = 200
"""Letters from which on a text is escaped one character after the other: a seventh of what PyMySQL's table takes."""


Converter = tuple[str | None, Any]
"""In which encoding a column's values come, if they are text, and what makes of one what it is."""


class Connection(connections.Connection):  # type: ignore[type-arg,unused-ignore]
    """A connection of PyMySQL's that takes what columns are, and how it encrypts, from what it knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.heads: dict[bytes, tuple[Any, Any, Any]] = {}
        self.tells_all = False
        """Whether ``server_status`` is that of the last answer, behind which no other one comes; an error has none."""
        self.is_ours = False
        """Whether a store's own call has it, and nobody else."""
        self.is_owed = False
        """Whether a command was sent, or some of it, whose answer was not read to its end. What is sent next would be
        answered with that: a signal's handler may raise in between, and its error is no driver's and no interrupt."""
        super().__init__(*args, **kwargs)

    def rollback(self) -> None:
        """Roll back; but not behind each read of a store's own, as SQLAlchemy does, where nothing has begun."""
        if not self.is_ours or together.is_open(self):
            super().rollback()

    def rest(self) -> list[tuple[int, int]]:
        """Return of each answer that is left how many rows it has found, and the last id; none has rows itself."""
        this: Any = self
        found: list[tuple[int, int]] = []
        has_next = this._result.has_next
        while has_next:
            arrived, length, status = _answers(_arrived(this), this._next_seq_id)
            if arrived:
                # Before: a signal's handler may raise, and what comes next would wait for more.
                this._result, this.is_owed = None, True
                this._read_bytes(length)
                this._next_seq_id = (this._next_seq_id + len(arrived)) % 256
                found += arrived
                has_next = bool(status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)
                if not has_next:
                    this.server_status, this.tells_all = status, True
                    this.is_owed = False
            else:  # not yet whole, or an error
                this.next_result()
                found.append((this._result.affected_rows, this._result.insert_id))
                has_next = this._result.has_next
        return found

    def _execute_command(self, command: int, sql: Any) -> None:
        this: Any = self
        plain: Any = super()
        if self.is_owed:
            this._force_close()
            raise OperationalError(CR_COMMANDS_OUT_OF_SYNC, "the answer to an earlier command was not read to its end")
        self.is_owed = True
        try:
            plain._execute_command(command, sql)
        except Error:  # it is closed
            self.is_owed = False
            raise
        self.is_owed = True  # also where PyMySQL has read before what was left of an answer

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        this: Any = self
        plain: Any = super()
        this.tells_all = False
        try:
            if unbuffered:
                found = plain._read_query_result(unbuffered=True)
            else:
                this._result = None
                result: Any = _Result(this)
                result.read()
                this._result, found = result, result.affected_rows
                this.server_status, this.tells_all = result.server_status, not result.has_next
        except Error:
            this.is_owed = False
            raise
        this.is_owed = False
        return found

    def _read_ok_packet(self) -> Any:
        plain: Any = super()
        self.tells_all = False
        try:
            answer = plain._read_ok_packet()
        except Error:
            self.is_owed = False
            raise
        self.tells_all, self.is_owed = True, False
        return answer

    def set_character_set(self, *args: Any, **kwargs: Any) -> None:
        plain: Any = super()
        plain.set_character_set(*args, **kwargs)
        self.is_owed = False

    def show_warnings(self) -> Any:
        plain: Any = super()
        found = plain.show_warnings()
        self.is_owed = False
        return found

    def _escape_string(self, s: str) -> Any:
        this: Any = self
        plain: Any = super()
        usual = getattr(plain, "_escape_string", None) or plain.escape_string
        unlike = type(s) is not str or this.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        if len(s) < LONG or unlike:  # a text of a kind of its own may replace otherwise, as that of markup does
            return usual(s)
        for character, escaped in _escapes():
            if character in s:
                s = s.replace(character, escaped)
        return s

    escape_string = _escape_string  # its name up to PyMySQL 1.2.0

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        plain: Any = super()
        return plain._create_ssl_ctx(sslp) if sslp else _PREFERRED


class _Result(connections.MySQLResult):
    """An answer whose columns are taken apart once: the packets that describe them are the same ones each time."""

    connection: Any
    converters: Sequence[Converter]

    def _check_packet_is_eof(self, packet: Any) -> bool:
        if not packet.is_eof_packet():
            return False
        end: Any = EOFPacketWrapper(packet)
        self.warning_count, self.has_next, self.server_status = end.warning_count, end.has_next, end.server_status
        return True

    def _read_rowdata_packet(self) -> None:
        plain: Any = super()
        connection, rows = self.connection, []
        while True:
            found, length = _rows(_arrived(connection), connection._next_seq_id, self.converters)
            if found:
                connection._read_bytes(length)
                connection._next_seq_id = (connection._next_seq_id + len(found)) % 256
                rows += found
            packet = connection._read_packet()
            if self._check_packet_is_eof(packet):
                break
            rows.append(plain._read_row_from_packet(packet))
        self.affected_rows, self.rows = len(rows), tuple(rows)

    def _get_descriptions(self) -> None:
        connection, count = self.connection, self.field_count
        plain: Any = super()
        head = _head(_arrived(connection), count)
        known = connection.heads.get(head)
        if known is not None:
            connection._read_bytes(len(head))
            connection._next_seq_id = (connection._next_seq_id + count + 1) % 256
            self.fields, self.converters, self.description = known
            return
        plain._get_descriptions()
        if head:
            if len(connection.heads) >= MOST:
                connection.heads.clear()
            connection.heads[head] = self.fields, self.converters, self.description


def _rows(there: bytes, number: int, converters: Sequence[Converter]) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows that have arrived whole, of which ``number`` is the first one's, and how many bytes they take.

    What is not as it has to be is left, for PyMySQL to say what is wrong with it: also what ends rows, and an error.
    """
    rows: list[tuple[Any, ...]] = []
    start, room = 0, len(there) - 4
    while start < room and there[start + 3] == (number + len(rows)) % 256:
        end = start + 4 + int.from_bytes(there[start : start + 3], "little")
        row = _row(there, start + 4, end, converters)
        if row is None:
            break
        rows.append(row)
        start = end
    return rows, start


def _row(data: bytes, position: int, end: int, converters: Sequence[Converter]) -> tuple[Any, ...] | None:
    """Return the values of a row, or None where they do not end at ``end``.

    PyMySQL calls three functions for each of them. The protocol: https://mariadb.com/kb/en/resultset-row/
    """
    row: list[Any] = []
    if end > len(data):
        return None
    try:
        for encoding, converter in converters:
            length = data[position]
            position += 1
            if length == NULL:
                row.append(None)
                continue
            if length > NULL:
                start, position = position, position + BYTES_OF_LENGTH[length]
                length = int.from_bytes(data[start:position], "little")
            start, position = position, position + length
            if position > end:
                return None
            value: Any = data[start:position]
            if encoding is not None:
                value = value.decode(encoding)
            row.append(value if converter is None else converter(value))
    except (IndexError, KeyError):
        return None
    return tuple(row) if position == end else None


def _answers(there: bytes, number: int) -> tuple[list[tuple[int, int]], int, int]:
    """Return what answers without rows say that have arrived whole, how many bytes that is, and the last status.

    The first one is packet ``number``. https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
    """
    found: list[tuple[int, int]] = []
    start, status, more = 0, 0, SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
    while not found or status & more:
        end = start + 4 + int.from_bytes(there[start : start + 3], "little")
        if not start + 11 <= end <= len(there) or there[start + 3] != (number + len(found)) % 256 or there[start + 4]:
            break
        count, position = _integer(there, start + 5)
        last_id, position = _integer(there, position)
        status = int.from_bytes(there[position : position + 2], "little")
        found.append((count, last_id))
        start = end
    return found, start, status


def _integer(data: bytes, position: int) -> tuple[int, int]:
    """Return a number in as many bytes as it needs, and where it ends."""
    first, position = data[position], position + 1
    end = position + BYTES_OF_LENGTH.get(first, 0)
    return (first if end == position else int.from_bytes(data[position:end], "little")), end


def _head(there: bytes, count: int) -> bytes:
    """Return the packets that describe so many columns, with the one that ends them; nothing if they are not there."""
    start = end = 0
    for _ in range(count + 1):
        start, end = end, end + 4 + int.from_bytes(there[end : end + 3], "little")
    # Neither a row nor an error: five bytes, and no text of a row that begins like this is that short.
    is_ended = end - start == 9 and there[start + 4 : start + 5] == b"\xfe"
    return there[:end] if is_ended and end <= len(there) else b""


def _arrived(connection: Any) -> bytes:
    """Return what is there of an answer behind what was read of it; waits where that is nothing."""
    try:
        found: bytes = connection._rfile.peek()
    except BaseException as error:
        connection._result = None  # before its cursor is closed, which would read what comes behind it
        connection._force_close()  # as PyMySQL does: nobody knows what was read
        if isinstance(error, OSError):  # who read on would only be told that there was one
            raise OperationalError(CR_SERVER_LOST, f"{LOST} ({error})") from error
        raise
    return found


def connect(*args: Any, **kwargs: Any) -> Any:
    """Connect; with what somebody has put in the place of PyMySQL's own function, as those who trace drivers do."""
    replaced: Any = pymysql.connect
    return (Connection if replaced is connections.Connection else replaced)(*args, **kwargs)


@cache
def module() -> ModuleType:
    """Return PyMySQL with these connections, for ``create_engine(module=...)``."""
    found = ModuleType(pymysql.__name__)
    found.__dict__.update({**vars(pymysql), "connect": connect})
    return found


@cache
def _escapes() -> Sequence[tuple[str, str]]:
    """Return the characters that PyMySQL escapes, with what it writes for them; first the one that it escapes with."""
    found = [(character, escape_string(character)) for character in map(chr, range(128))]
    return sorted(((old, new) for old, new in found if old != new), key=lambda pair: pair[0] != "\\")


class _Preferred:
    """The same as ``_unverified``, made when a server offers to encrypt: it takes a millisecond."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_unverified(), name)


_PREFERRED = _Preferred()


@cache
def _unverified() -> ssl.SSLContext:
    """Return what encrypts where a server offers it and nothing was said, as newer releases of PyMySQL do.

    It verifies nobody's certificate then, but reads those of all authorities for each connection: some 25 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
