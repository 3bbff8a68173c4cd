"""Who waits while an upgrade changes something, and for how long: in words, and at the most.

PostgreSQL: https://www.postgresql.org/docs/current/sql-altertable.html and .../explicit-locking.html
MySQL: https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html
MariaDB: https://mariadb.com/kb/en/innodb-online-ddl-overview/
SQLite: https://www.sqlite.org/lang_altertable.html and .../wal.html
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

DDL_LOCK_TIMEOUT = 3.0
"""Seconds that a statement of an upgrade waits for a table, while readers queue up behind it."""

BATCH = 500
"""Rows that a backfill fills in one transaction."""


class Change(enum.Enum):
    """What an operation does, as far as the locks for it go."""

    CREATE_TABLE = "make a table"
    CREATE_REFERRING_TABLE = "make a table whose foreign keys refer to tables in use"
    DROP_TABLE = "drop a table"
    RENAME_TABLE = "rename a table"
    ADD_COLUMN = "add a column that is empty or the same in every row"
    ADD_FILLED_COLUMN = "add a column that is worked out for every row"
    DROP_COLUMN = "drop a column"
    RENAME_COLUMN = "rename a column"
    CHANGE_TYPE = "change the type of a column"
    FORBID_NULL = "make a column NOT NULL"
    CHANGE_COLUMN = "change a default or a comment, or allow NULL"
    BUILD_INDEX = "build an index"
    BUILD_INDEX_BESIDE_WRITERS = "build an index of a large table"
    DROP_INDEX = "drop an index"
    ADD_KEY = "add a unique constraint or a primary key"
    ADD_FOREIGN_KEY = "add a foreign key"
    ADD_CHECK = "add a check"
    DROP_CONSTRAINT = "drop a constraint"
    WRITE_ROWS = "insert, update or delete rows"
    REBUILD = "copy a table into a new one that takes its place"
    OTHER = "run a statement that nobody has looked into"


_ITS_OWN = "whatever waits for the locks that the statement itself takes"

_AT_ONCE = "readers and writers wait for a moment, and then until the revision is committed (ACCESS EXCLUSIVE)"

POSTGRESQL: Mapping[Change, str] = {
    **dict.fromkeys(Change, _AT_ONCE),
    Change.CREATE_TABLE: "nobody waits",
    Change.CREATE_REFERRING_TABLE: "writers of the tables it refers to wait for a moment (SHARE ROW EXCLUSIVE)",
    Change.ADD_FILLED_COLUMN: "readers and writers wait while every row is written anew (ACCESS EXCLUSIVE)",
    Change.CHANGE_TYPE: "readers and writers wait while rows and indexes are written anew (ACCESS EXCLUSIVE)",
    Change.FORBID_NULL: "readers and writers wait while every row is read (ACCESS EXCLUSIVE)",
    Change.BUILD_INDEX: "readers go on, writers wait while it is built (SHARE)",
    Change.BUILD_INDEX_BESIDE_WRITERS: (
        "readers and writers go on (SHARE UPDATE EXCLUSIVE): it is built CONCURRENTLY, in no transaction"
    ),
    Change.ADD_KEY: "readers and writers wait while its index is built (ACCESS EXCLUSIVE)",
    Change.ADD_FOREIGN_KEY: (
        "readers go on, writers of both tables wait while every row is checked (SHARE ROW EXCLUSIVE)"
    ),
    Change.ADD_CHECK: "readers and writers wait while every row is checked (ACCESS EXCLUSIVE)",
    Change.WRITE_ROWS: "writers of the same rows wait until the revision is committed (ROW EXCLUSIVE)",
    Change.REBUILD: "all rows are copied, and what others write meanwhile is lost: stop the writers first",
    Change.OTHER: _ITS_OWN,
}

_IN_PASSING = "readers and writers wait for a moment (metadata lock)"
_COPIED = "readers go on, writers wait while all rows are copied (ALGORITHM=COPY)"
_BESIDE = "readers and writers go on while it is built, but for a moment (LOCK=NONE)"

MYSQL: Mapping[Change, str] = {
    **dict.fromkeys(Change, _IN_PASSING),
    Change.CREATE_TABLE: "nobody waits",
    Change.CREATE_REFERRING_TABLE: "users of the tables it refers to wait for a moment (metadata lock)",
    Change.ADD_FILLED_COLUMN: _COPIED,
    Change.CHANGE_TYPE: _COPIED,
    Change.FORBID_NULL: "readers and writers go on while all rows are written anew, but for a moment (LOCK=NONE)",
    Change.BUILD_INDEX: _BESIDE,
    Change.BUILD_INDEX_BESIDE_WRITERS: _BESIDE,
    Change.ADD_KEY: _BESIDE,
    Change.ADD_FOREIGN_KEY: _COPIED,
    Change.ADD_CHECK: _COPIED,
    Change.WRITE_ROWS: "writers of the same rows wait until the revision is committed (row locks)",
    Change.REBUILD: POSTGRESQL[Change.REBUILD],
    Change.OTHER: _ITS_OWN,
}

MARIADB: Mapping[Change, str] = {
    **MYSQL,
    Change.CHANGE_TYPE: f"{_COPIED}, before MariaDB 11.2",
}

_ONE_WRITER = "readers go on, other writers of the file wait until the whole upgrade is committed"

SQLITE: Mapping[Change, str] = {
    **dict.fromkeys(Change, _ONE_WRITER),
    Change.REBUILD: f"the table is rebuilt, all its rows are copied: {_ONE_WRITER}",
}
