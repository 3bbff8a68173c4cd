"""What PyMySQL would do for each answer and each connection is done once, and again where it is something else."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from pymysql import connections as plain
from pymysql.constants import FIELD_TYPE
from pymysql.converters import escape_string
from pymysql.err import OperationalError

from agno_store import open_db
from agno_store.dialects import pymysql_driver, together
from agno_store.errors import DatabaseUnreachable
from agno_store.sending import _executed
from tests.contract.samples import append, positions, run, run_ids
from tests.contract.test_by_driver import fail, still_open, transaction

COLOURS = ("sync",)

pytestmark = pytest.mark.backends("mysql")


def described(db: Any, statement: str) -> tuple[Any, list[Any]]:
    """How a statement's columns are described, and what the driver has made of it."""
    with db.db_engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        return result.cursor.description, connection.connection.driver_connection._result.fields


def test_a_column_is_taken_apart_once(opened: Callable[..., Any]) -> None:
    db, other = opened(), opened(table_name="other")
    for store in (db, other):
        append(store, "s", "r")
    statement = f"SELECT session_id, run_index FROM {db.names.runs}"
    first, second = described(db, statement), described(db, statement)

    assert first[0] == second[0]
    assert [column[:2] for column in first[0]] == [("session_id", 253), ("run_index", 8)]
    assert [id(field) for field in first[1]] == [id(field) for field in second[1]]
    assert [field.org_table for field in described(other, "SELECT session_id FROM other_runs")[1]] == ["other_runs"]


def test_a_column_that_was_changed_is_another_one(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    statement = f"SELECT status AS found FROM {db.names.runs}"
    before, _ = described(db, statement)
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {db.names.runs} MODIFY status VARBINARY(300)")
    after, _ = described(db, statement)

    assert before != after
    with db.db_engine.connect() as connection:
        assert connection.exec_driver_sql(statement).scalar() == b"COMPLETED"


@pytest.mark.parametrize("arrived", [0, 1, 3, 4, 40, 120, 230, 239, 240, 250])
def test_columns_that_have_not_all_arrived_are_read_one_by_one(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, arrived: int
) -> None:
    db, whole = opened(), pymysql_driver._arrived
    append(db, "s", "r")
    statement = f"SELECT session_id, run_index FROM {db.names.runs}"
    expected = described(db, statement)[0]
    monkeypatch.setattr(pymysql_driver, "_arrived", lambda connection: whole(connection)[:arrived])

    with db.db_engine.connect() as connection:
        for _ in range(2):
            result = connection.exec_driver_sql(statement)
            assert result.cursor.description == expected
            assert result.all() == [("s", 0)]


def test_answers_that_begin_alike_are_told_apart(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    with db.db_engine.connect() as connection:
        for columns in ("1 AS a, 'x' AS b", "1 AS a", "1 AS a, 'x' AS b, NULL AS c", "'1' AS a", "1.5 AS a"):
            for _ in range(2):
                found = connection.exec_driver_sql(f"SELECT {columns}").mappings().one()
                expected = [name.rsplit(" ", 1)[-1] for name in columns.split(", ")]
                assert list(found) == expected
        assert connection.exec_driver_sql("SELECT '1' AS a").scalar() == "1"
        assert connection.exec_driver_sql("SELECT 1 AS a").scalar() == 1
        for count in (260, 1000):  # more than packets have numbers, and more than arrive at once
            wide = ", ".join(f"{n} AS `{n:x}`" for n in range(count))
            for _ in range(2):
                assert connection.exec_driver_sql(f"SELECT {wide}").one() == tuple(range(count))


def test_no_more_heads_are_kept_than_a_few(opened: Callable[..., Any]) -> None:
    with opened().db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        for n in range(2 * pymysql_driver.MOST + 10):
            assert connection.exec_driver_sql(f"SELECT {n} AS column_{n}").scalar() == n
            assert len(driver.heads) <= pymysql_driver.MOST


def test_only_columns_that_end_as_they_should_are_a_head() -> None:
    column, end = b"\x03\x00\x00\x02abc", b"\x05\x00\x00\x03\xfe\x00\x00\x02\x00"
    assert pymysql_driver._head(column + end + b"more", 1) == column + end
    for other in (b"\x05\x00\x00\x03\xff\x00\x00\x02\x00", b"\x09\x00\x00\x03\xfe" + 8 * b"x", end[:-1], b""):
        assert pymysql_driver._head(column + other, 1) == b""


ROWS = {
    "lengths": "SELECT " + ", ".join(f"REPEAT('x', {n})" for n in (0, 1, 250, 251, 252, 255, 65_535, 65_536, 70_000)),
    "a null first": "SELECT NULL, 'a' UNION ALL SELECT 'b', NULL UNION ALL SELECT NULL, NULL UNION ALL SELECT '', ''",
    "letters": "SELECT 'é', '😀', _binary 'é', REPEAT('é', 200)",
    "kinds": "SELECT 1, -1, 1.5, 1e300, CAST(1 AS DECIMAL(30, 10)), DATE '2026-01-02', TIME '01:02:03', b'101', "
    "TIMESTAMP '2026-01-02 03:04:05', x'00FF', JSON_OBJECT('a', 1), 18446744073709551615",
    "more rows than packets have numbers": "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE "
    "i < 900) SELECT i, REPEAT('x', i % 300), IF(i % 3 = 0, NULL, i) FROM n",
    "none": "SELECT 1, 'a' FROM DUAL WHERE 1 = 0",
}


@pytest.mark.parametrize("arrived", [None, 0, 1, 3, 4, 5, 7, 40, 300, 5000])
@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS.keys())
def test_rows_are_those_that_the_driver_reads(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, statement: str, arrived: int | None
) -> None:
    db, whole = opened(), pymysql_driver._arrived
    monkeypatch.setattr(pymysql_driver, "_arrived", lambda connection: whole(connection)[:arrived])
    with db.db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        usual = plain.Connection(
            host=driver.host, port=driver.port, user=driver.user, password=driver.password, charset="utf8mb4"
        )
        with usual, usual.cursor() as expected, driver.cursor() as found:
            for _ in range(2):
                count = expected.execute(statement)
                assert found.execute(statement) == count
                rows = expected.fetchall()
                assert found.fetchall() == rows
                assert [list(map(type, row)) for row in found._rows] == [list(map(type, row)) for row in rows]
                assert found.rowcount == expected.rowcount


def packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes([number]) + content


def test_only_what_is_a_row_is_read_as_one() -> None:
    columns = [("utf8", None), ("ascii", int)]
    row, end = b"\x01a\x0212", b"\xfe\x00\x00\x02\x00"
    first, second = packet(255, row), packet(0, b"\xfb\x011")
    assert pymysql_driver._rows(first + second + packet(1, end), 255, columns) == (
        [("a", 12), (None, 1)],
        len(first + second),
    )
    assert pymysql_driver._rows(packet(255, b"\xfc\x01\x00a\xfd\x02\x00\x0012"), 255, columns)[0] == [("a", 12)]

    cut_short = [first + second[:n] for n in range(len(second))]
    no_rows = [end, b"\xff\x00\x00#HY000no", b"", row[:-1], row[:2], row + b"\x00", b"\x01a\xff1", b"\x01a\xfe"]
    for there in [*cut_short, *(first + packet(0, content) + second for content in no_rows), first + packet(1, row)]:
        assert pymysql_driver._rows(there, 255, columns) == ([("a", 12)], len(first)), there


def counted(number: int, count: bytes, last_id: bytes, status: int) -> bytes:
    return packet(number, b"\0" + count + last_id + status.to_bytes(2, "little") + b"\0\0")


def test_only_what_says_how_many_rows_there_were_is_read_as_that() -> None:
    more, last = 0x0A, 0x02
    first, second = counted(255, b"\x01", b"\xfc\xfb\x00", more), counted(0, b"\xfd\x01\x00\x01", b"\x00", last)
    third = counted(1, b"\x00", b"\xfe\x01\x00\x00\x00\x00\x00\x00\x80", more)
    answered, length = [(1, 251), (65537, 0)], len(first + second)
    assert pymysql_driver._answers(first + second + third, 255) == (answered, length, last)
    assert pymysql_driver._answers(third, 1) == ([(0, 2**63 + 1)], len(third), more)

    others = [b"\xff\x00\x00#HY000no", b"\x01", b"\xfe\x00\x00\x02\x00", b"", b"\0\0\0\x02\0\0"]
    for there in [*(second[:n] for n in range(len(second))), *(packet(0, other) for other in others), third]:
        assert pymysql_driver._answers(first + there, 255) == ([(1, 251)], len(first), more), there
        assert pymysql_driver._answers(there, 0) == ([], 0, 0), there


@pytest.mark.parametrize("arrived", [None, 0, 1, 10, 11, 12, 21, 22, 23, 33])
def test_answers_to_several_statements_are_all_read(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, arrived: int | None
) -> None:
    db, whole = opened(), pymysql_driver._arrived
    append(db, "s", "0")
    monkeypatch.setattr(pymysql_driver, "_arrived", lambda connection: whole(connection)[:arrived])
    count = 12 if arrived else 300
    for n in range(1, count):
        found = db.get_session("s", runs_limit=1)
        db.upsert_session(found, run=run(str(n)))

    assert positions(db, "s") == {str(n): n for n in range(count)}
    with db.db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute("SET @a = 1")
            assert driver.rest() == []


def test_who_is_interrupted_when_all_answers_are_read_waits_for_no_more(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened().db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        usual, driver._read_timeout = driver._read_bytes, 2
        driver._execute_command(together.COM_SET_OPTION, together.ON)
        driver._read_packet()
        driver.is_owed = False

        def interrupted(count: int) -> None:
            usual(count)
            raise TimeoutError

        send = driver._execute_command

        def sent(*args: Any) -> None:
            send(*args)
            time.sleep(0.2)  # so that all is there when the first answer is read

        with driver.cursor() as cursor:
            with monkeypatch.context() as patched:
                patched.setattr(driver, "_execute_command", sent)
                cursor.execute("SET @a = 1; SET @a = 2; SET @a = 3")
            with monkeypatch.context() as patched:
                patched.setattr(driver, "_read_bytes", interrupted)
                with pytest.raises(TimeoutError):
                    driver.rest()
        with pytest.raises(OperationalError, match="not read to its end"):
            driver.rollback()
        assert not driver.open
        connection.invalidate()
        assert connection.exec_driver_sql("SELECT @a").scalar() is None


class Failing:
    """An answer of which what is behind cannot be had."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def peek(self) -> bytes:
        raise self._error

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt("interrupted"), KeyboardInterrupt), (TimeoutError("timed out"), OperationalError)],
)
def test_what_ends_the_wait_for_columns_is_told_and_leaves_no_connection(
    opened: Callable[..., Any], error: BaseException, raised: type[BaseException]
) -> None:
    with opened().db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver._rfile = Failing(error)
        with pytest.raises(raised, match=str(error)):
            pymysql_driver._arrived(driver)
        assert not driver.open
        connection.invalidate()


def test_an_answer_that_cannot_be_taken_apart_leaves_no_transaction_open(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")

    def read(connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.decoders = {FIELD_TYPE.LONGLONG: fail}
        _executed(connection, f"SELECT version FROM {db.names.sessions} FOR UPDATE", (), has_rows=True)

    with pytest.raises(ZeroDivisionError):
        transaction(db, read)
    assert still_open(db) == []
    assert run_ids(db, "s") == ["r"]


def test_certificates_are_not_read_for_each_connection(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("certificates were read that nobody compares with anything")

    usual: Any = getattr(
        plain.Connection(defer_connect=True), "ctx", None
    )  # older releases encrypt what they are told to
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read)
    with db.db_engine.connect() as first, db.db_engine.connect() as second:
        ours, other = (getattr(c.connection.driver_connection, "ctx", None) for c in (first, second))
    assert ours is other
    for name in ("verify_mode", "check_hostname", "minimum_version", "maximum_version", "protocol"):
        assert getattr(ours, name, None) == getattr(usual, name, None), name


def test_what_is_said_about_certificates_is_followed(fresh_url: str) -> None:
    url = sa.make_url(fresh_url).update_query_dict({"ssl_ca": "/nowhere/ca.pem"})
    with pytest.raises(DatabaseUnreachable, match="No such file"):
        open_db(url.render_as_string(hide_password=False)).schema_status()


def test_who_traces_the_driver_sees_the_connections(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def traced(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["user"])
        return plain.Connection(*args, **kwargs)

    monkeypatch.setattr(pymysql, "connect", traced)
    db = opened()
    db.db_engine.dispose()
    append(db, "s", "r")

    assert seen


class Marked(str):
    """A text that takes what it is given for markup, as those of templates do."""

    __slots__ = ()

    def replace(self, old: Any, new: Any, *_: Any) -> Any:
        return type(self)(super().replace(old, new.replace("'", "&#39;")))


def test_a_long_text_is_escaped_as_the_driver_escapes_it(opened: Callable[..., Any]) -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    pairs = "".join(first + second for first in "\\\0\n\r\x1a\"'%a" for second in "\\\0\n\r\x1a\"'%a")
    with opened().db_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert type(driver).escape_string is type(driver)._escape_string  # PyMySQL's names of it, the first up to 1.2.0
        for text in (every, pairs * 9, "\\" * 1001, "'" * 1001):
            assert driver._escape_string(text) == escape_string(text)
            assert connection.execute(sa.text("SELECT :it"), {"it": text}).scalar() == text
        assert driver._escape_string(Marked(pairs * 9)) == escape_string(pairs * 9)
        connection.exec_driver_sql("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')")
        assert connection.execute(sa.text("SELECT :it"), {"it": pairs * 9}).scalar() == pairs * 9
        connection.invalidate()
