"""Every exception that agno_store raises.

```text
AgnoStoreError
├── ConfigurationError (ValueError)        how the store was set up: a name too long, a URL of another database
│   └── MissingDriver (ImportError)        the driver of that URL is not installed
├── InvalidArgument (ValueError)           what a call was given: page 0, an unknown sort column, an id too long
├── SchemaError                            the tables are not what this release needs: .store .current .head
│   ├── SchemaMissing                      no tables yet
│   ├── SchemaBehind                       revisions are pending
│   ├── SchemaTooNew                       the database is ahead of this release
│   ├── SchemaDrifted                      the tables differ from what the revisions make: .differences
│   ├── SchemaConflict                     a table of that name is not ours
│   └── UpgradeLocked (TimeoutError)       somebody else is upgrading
├── NotFound (LookupError)                 absent where absence is a mistake; readers return None instead
├── StaleSession                           a newer version of the session is stored: .expected .current
├── OwnerMismatch (PermissionError)        the session belongs to another user
├── EncodingError (TypeError, ValueError)  a value that cannot be stored: .path
├── PayloadTooLarge                        .size and .limit, in bytes
├── MediaUnavailable                       a store of objects failed: .keys
└── DatabaseError                          the database refused or failed; __cause__ is the driver's error
    ├── DatabaseUnreachable                no connection could be had
    ├── OutcomeUnknown                     the connection was lost in COMMIT: stored, or not
    ├── AccessDenied                       this role, or this process, lacks a right
    └── CorruptRow                         what is stored cannot be read: .row .column
        └── SealedRow                      it is sealed with a key that this store does not have: .key_id
```

A message says what happened, to which store, and what to do next. None holds a credential.
"""

from __future__ import annotations

from collections.abc import Sequence


class AgnoStoreError(Exception):
    """Base of every error raised on purpose by agno_store."""


class ConfigurationError(AgnoStoreError, ValueError):
    """The store is set up in a way that cannot work; nothing was sent to a database."""


class MissingDriver(ConfigurationError, ImportError):
    """The Python driver for this kind of database is not installed."""


class InvalidArgument(AgnoStoreError, ValueError):
    """A call was given something that has no meaning; nothing was read or written."""


class SchemaError(AgnoStoreError):
    """The tables in the database are not the ones this release works with.

    ``store`` names the store's session table, ``current`` the revision found
    (None where there is none) and ``head`` the revision this release needs.
    """

    def __init__(self, message: str, *, store: str = "", current: str | None = None, head: str | None = None) -> None:
        super().__init__(message)
        self.store = store
        self.current = current
        self.head = head


class SchemaMissing(SchemaError):
    """The store has no tables yet."""


class SchemaBehind(SchemaError):
    """Revisions are pending."""


class SchemaTooNew(SchemaError):
    """The database is at a revision this release does not know."""


class SchemaDrifted(SchemaError):
    """The tables differ from what the revisions make; ``differences`` says how."""

    def __init__(
        self,
        message: str,
        *,
        store: str = "",
        current: str | None = None,
        head: str | None = None,
        differences: Sequence[str] = (),
    ) -> None:
        super().__init__(message, store=store, current=current, head=head)
        self.differences = tuple(differences)


class SchemaConflict(SchemaError):
    """Something of that name is in the database, and it is not ours."""


class UpgradeLocked(SchemaError, TimeoutError):
    """Somebody else holds the upgrade lock for longer than we were told to wait."""


class NotFound(AgnoStoreError, LookupError):
    """What the call works on is not there."""


class StaleSession(AgnoStoreError):
    """Somebody saved a newer version of the session meanwhile; nothing was written.

    ``expected`` is the version that was read and ``current`` the one that is stored; None where there was none.
    """

    def __init__(
        self, message: str, *, session_id: str = "", expected: int | None = None, current: int | None = None
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.expected = expected
        self.current = current


class OwnerMismatch(AgnoStoreError, PermissionError):
    """The session belongs to another user; nothing was written."""


class EncodingError(AgnoStoreError, TypeError, ValueError):
    """A value that cannot be stored; ``path`` says where it stands. Nothing was written."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class PayloadTooLarge(AgnoStoreError):
    """A payload of ``size`` bytes is over the server's ``limit``; nothing was sent."""

    def __init__(self, message: str, *, size: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class MediaUnavailable(AgnoStoreError):
    """The ``media_store`` of a store failed; ``keys`` are those of the objects. ``__cause__`` is its own error.

    The message names that error's type alone: its words may hold a signed URL.
    Where it could not read or write, nothing was written; where it could not delete, all else was done.
    """

    def __init__(self, message: str, *, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class DatabaseError(AgnoStoreError):
    """The database refused or failed. ``__cause__`` is the driver's own error."""


class DatabaseUnreachable(DatabaseError):
    """No connection could be had."""


class OutcomeUnknown(DatabaseError):
    """The connection was lost after COMMIT had been sent: the last write is stored whole, or not at all."""


class AccessDenied(DatabaseError):
    """The database refused because a right is missing; nothing was changed by what was refused."""


class CorruptRow(DatabaseError):
    """What is stored in ``column`` of ``row`` cannot be read."""

    def __init__(self, message: str, *, row: str = "", column: str = "") -> None:
        super().__init__(message)
        self.row = row
        self.column = column


class SealedRow(CorruptRow):
    """What is stored there is sealed with a key that this store's codec does not have, or not for that place."""

    def __init__(self, message: str, *, row: str = "", column: str = "", key_id: str = "") -> None:
        super().__init__(message, row=row, column=column)
        self.key_id = key_id
