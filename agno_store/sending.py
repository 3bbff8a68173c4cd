"""How a store's own statements are sent: compiled once, and through the driver's own cursor.

SQLAlchemy takes longer over a statement of these than most databases do: it looks the text up in its cache, builds
a context and a result for it. Here a text, the order of its values, and what values and columns pass through are
kept for each statement and set of values. Whoever listens to an engine, or has it log, misses nothing: there the
same text goes through ``exec_driver_sql``, or the statement through ``execute`` where it is more than its text that
counts. What the driver raises becomes SQLAlchemy's, as always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from agno_store import escapes, types
from agno_store.errors import OutcomeUnknown
from agno_store.urls import redacted

Row = dict[str, Any]
Statement = sa.Select[Any] | UpdateBase
Process = Callable[[Any], Any]

AT_ONCE = "agno_store sends at once"
"""In a connection's ``info``: what sends a text as ``_executed`` does, and better than a cursor would."""

TOGETHER = "agno_store sends together"
"""The same: what sends several texts as one, and returns of each how many rows it has found, and the last id."""

HELD_BY_CURSORS = "agno_store closes the cursor of an interrupted statement"
"""The same: that a connection which is closed stays open as long as a cursor has a statement of it, with its locks."""

BEGIN, COMMIT = "START TRANSACTION", "COMMIT"

NOTHING_COUNTED = "DO LAST_INSERT_ID(0)"
"""Before statements that are sent together: what one of them counts is what another one finds."""

AROUND = 3
"""Answers besides those to the statements themselves."""

MOST = 1000
"""Texts that are kept. A store has about fifty; more come of sets of columns that are changed together."""


class Answer(NamedTuple):
    """What came of a statement."""

    rows: list[Row]
    matched: int
    """How many rows it has found or written."""
    last_id: Any
    """What MySQL calls LAST_INSERT_ID()."""

    @property
    def first(self) -> Row | None:
        return self.rows[0] if self.rows else None


class Sending:
    """The texts of one store's statements."""

    def __init__(self) -> None:
        self._known: dict[tuple[Statement, Dialect, tuple[str, ...]], _Text] = {}
        self._joined: dict[tuple[_Text, ...], str] = {}

    def send(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Answer:
        """Execute a statement with these values, the columns of an INSERT or UPDATE among them."""
        return self._text(c, statement, values).send(c, values)

    def together(self, c: Connection, *asked: tuple[Statement, Mapping[str, Any]]) -> list[Answer]:
        """Execute statements without rows as one transaction, in one go, over a connection that ``takes_together``.

        Returns nothing, with nothing done, where it does not any more. Raises OutcomeUnknown where only some are
        answered.
        """
        texts = tuple([self._text(c, statement, values) for statement, values in asked])
        whole = self._joined.get(texts)
        if whole is None:
            if len(self._joined) >= MOST:
                self._joined.clear()
            whole = self._joined[texts] = _joined(texts)
        sent = [text.sent(values) for text, (_, values) in zip(texts, asked, strict=True)]
        named = isinstance(sent[0], dict)
        values = {name: value for each in sent for name, value in each.items()} if named else sum(sent, ())
        count = len(asked) + AROUND
        answers = _handed(c, c.info[TOGETHER], whole, values, count)
        if answers and len(answers) != count:
            raise OutcomeUnknown(
                f"{redacted(c.engine.url)}: {len(answers)} of {count} statements that were sent together were "
                "answered, so nobody knows whether they are stored. Look for it, and repeat the call if it is not. "
                "Is there a proxy in between that passes on one statement of several?"
            )
        return [Answer([], count, last_id) for count, last_id in answers[2:-1]]

    def _text(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> _Text:
        key = statement, c.dialect, tuple(values)
        text = self._known.get(key)
        if text is None:
            if len(self._known) >= MOST:
                self._known.clear()
            text = self._known[key] = _Text(statement, c.dialect, key[2])
        return text

    def named(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Iterator[Row]:
        """Give the rows that a statement of listings brings, in which a list of values may be any long."""
        return named(c.execute(statement, values))

    # Of a store with a codec these do something: see ``sealing``. For who sends a statement by another way.

    @property
    def key_id(self) -> str | None:
        """Return the id of the key that payloads are sealed with, or None where they are not."""
        return None

    def sealed(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of a statement as they are to be stored."""
        return values

    def open(self, row: Row, session_id: str | None = None) -> Row:
        """Return a row as it was before it was stored; ``session_id`` where that is no column of it."""
        return row


class _Text:
    """A statement as one kind of database is sent it."""

    def __init__(self, statement: Statement, dialect: Dialect, names: tuple[str, ...]) -> None:
        self._statement = statement
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        state = compiled.construct_expanded_state(dict.fromkeys(names))
        self.text: str = state.statement
        self._is_positional: bool = compiled.positional
        self._order: list[str] = list(state.parameters if state.positiontup is None else state.positiontup)
        taken = [_taken(name, names, compiled, state, dialect) for name in self._order]
        self.takes = [
            (name, is_given, constant) for name, (is_given, constant, _) in zip(self._order, taken, strict=True)
        ]
        self._through = [(n, process) for n, (_, _, process) in enumerate(taken) if process is not None]
        columns = list(_columns(statement))
        self._names = [str(column.name) for column in columns]
        self._has_rows = bool(columns)
        # Of an id only what is escaped has to pass; of a tenant's key all, since it must be the tenant's.
        self._gives = [
            (name, process, type(column.type) is types.Id)
            for name, column in zip(self._names, columns, strict=True)
            if (process := _on_the_way_out(column.type, dialect)) is not None
        ]

    def send(self, c: Connection, values: Mapping[str, Any]) -> Answer:
        if _is_not_all(c):
            return self._as_usual(c, values)
        rows, count, last_id = _executed(c, self.text, self.sent(values), self._has_rows)
        return Answer(self._read(rows) if rows else [], count, last_id)

    def sent(self, values: Mapping[str, Any]) -> Any:
        """Return values as the driver gets them: a tuple, or a dictionary."""
        found = [values[name] if is_given else constant for name, is_given, constant in self.takes]
        for n, process in self._through:
            if found[n] is not None:
                found[n] = process(found[n])
        return tuple(found) if self._is_positional else dict(zip(self._order, found, strict=True))

    def _as_usual(self, c: Connection, values: Mapping[str, Any]) -> Answer:
        result = c.execute(self._statement, values)
        gives_id = getattr(c.dialect, "postfetch_lastrowid", False) and not self._names
        return Answer(
            list(named(result)) if self._names else [], result.rowcount, result.lastrowid if gives_id else None
        )

    def _read(self, rows: Iterable[Sequence[Any]]) -> list[Row]:
        """Return rows by name, as their types read them."""
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        for row in named:
            for name, process, only_escaped in self._gives:
                value = row[name]
                try:
                    is_ready = value is None or (only_escaped and escapes.ESCAPE not in value)
                except TypeError:  # bytes, which SQLite keeps in any column
                    is_ready = False
                if not is_ready:
                    row[name] = process(value)
        return named


def _joined(texts: Iterable[_Text]) -> str:
    constants: dict[str, Any] = {}
    for name, is_given, constant in (take for text in texts for take in text.takes):
        if constants.setdefault(name, is_given or constant) != (is_given or constant):
            raise ValueError(f"{name} is one thing in one of these statements and another in the other")
    return ";".join([BEGIN, NOTHING_COUNTED, *(text.text for text in texts), COMMIT])


def _taken(
    name: str, names: tuple[str, ...], compiled: Any, state: Any, dialect: Dialect
) -> tuple[bool, Any, Process | None]:
    """Tell whether a value is given with each call, what it is if not, and what it passes through."""
    if name in names:
        return True, None, _on_the_way_in(compiled.binds[name].type, dialect)
    of_list = state.processors.get(name)
    constant = state.parameters[name]
    if of_list is None and name in compiled.binds:
        of_list = _on_the_way_in(compiled.binds[name].type, dialect)
    return False, constant if of_list is None else of_list(constant), None


def _on_the_way_in(type_: TypeEngine[Any], dialect: Dialect) -> Process | None:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _on_the_way_out(type_: TypeEngine[Any], dialect: Dialect) -> Process | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)


def _columns(statement: Statement) -> Iterable[Any]:
    if isinstance(statement, sa.Select):
        return statement.selected_columns
    # Only of one with RETURNING: a statement remembers that it has none, and so would the one that is made of it.
    return statement.exported_columns if statement._returning else ()


def named(result: CursorResult[Any]) -> Iterator[Row]:
    """Give each row as a dictionary: to look into a mapping of SQLAlchemy's takes ten times as long."""
    names = tuple(map(str, result.keys()))  # whole: a name of SQLAlchemy's is more, and not every encoder takes it
    return (dict(zip(names, row)) for row in result.all())  # noqa: B905 - as long as each other by what they are


def say(c: Connection, text: str) -> None:
    """Send a text that has neither values nor rows, such as a border of a transaction."""
    _executed(c, text, (), has_rows=False)


def _executed(c: Connection, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, Any]:
    """Send a text, and return its rows, how many there are or were written, and the last id."""
    gives_id = getattr(c.dialect, "postfetch_lastrowid", False) and not has_rows
    if _is_watched(c) or c.invalidated:
        result = c.exec_driver_sql(text, values)
        found = result.all() if has_rows else ()
        return found, result.rowcount, result.lastrowid if gives_id else None
    driver, cursor = c.connection, None
    at_once = driver.info.get(AT_ONCE)
    if at_once is not None:
        return _handed(c, at_once, text, values, has_rows)  # type: ignore[no-any-return]
    try:
        cursor = driver.cursor()  # fails where a connection is known to be closed
        cursor.execute(text, values)
        found = cursor.fetchall() if has_rows else ()
        answer = found, cursor.rowcount, cursor.lastrowid if gives_id else None
    except BaseException as error:  # noqa: BLE001 - it is raised
        _raise(c, error, text, values, cursor)
    cursor.close()
    return answer


def _handed(c: Connection, send: Callable[..., Any], text: str, values: Any, *rest: Any) -> Any:
    """Have a text sent by a way of a driver's own."""
    try:
        return send(text, values, *rest)
    except BaseException as error:  # noqa: BLE001 - it is raised
        _raise(c, error, text, values, None)


def _raise(c: Connection, error: BaseException, text: str, values: Any, cursor: Any) -> NoReturn:
    if isinstance(error, Exception) and not isinstance(error, c.dialect.loaded_dbapi.Error):
        if cursor is not None:
            cursor.close()
        raise error
    if cursor is not None and not isinstance(error, Exception) and c.info.get(HELD_BY_CURSORS):
        # The traceback holds it, until garbage is collected.
        cursor.close()
    # What a connection does with its driver's error, and with an interrupt in the middle of a statement, which
    # leaves nothing to be used: only SQLAlchemy's own method does all of it.
    c._handle_dbapi_exception(error, text, values, cursor, None)


def _is_not_all(c: Connection) -> bool:
    """Whether the text is not all that a connection is to know: some listen to statements, or have them rewritten."""
    if "schema_translate_map" in c.get_execution_options():
        return True
    return (c._has_events or c.engine._has_events) and bool(c.dispatch.before_execute or c.dispatch.after_execute)


def takes_together(c: Connection) -> bool:
    """Whether statements go together over a connection now, of which each would be committed by itself."""
    return TOGETHER in c.info


def has_listeners(engine: Any) -> bool:
    """Whether somebody listens to an engine's statements, or has them logged."""
    return bool(engine._has_events or engine.dialect._has_events or engine._should_log_info())


def _is_watched(c: Connection) -> bool:
    """Whether somebody listens to a connection's statements, or has them logged."""
    return bool(c._has_events or c.engine._has_events or c.dialect._has_events or c._echo)
