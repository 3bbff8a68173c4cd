"""Exit codes: what a pipeline may rely on."""

from __future__ import annotations

from enum import IntEnum

from agno_store import errors, schema


class Exit(IntEnum):
    """0 in step, 1 failed, 2 usage, 3 behind, 4 ahead, 5 drifted, 6 locked, 7 unreachable."""

    IN_STEP = 0
    FAILED = 1
    USAGE = 2
    BEHIND = 3
    AHEAD = 4
    DRIFTED = 5
    LOCKED = 6
    UNREACHABLE = 7


_OF_ERROR: tuple[tuple[type[errors.AgnoStoreError], Exit], ...] = (
    (errors.SchemaTooNew, Exit.AHEAD),
    (errors.SchemaBehind, Exit.BEHIND),
    (errors.SchemaMissing, Exit.BEHIND),
    (errors.SchemaDrifted, Exit.DRIFTED),
    (errors.UpgradeLocked, Exit.LOCKED),
    (errors.DatabaseUnreachable, Exit.UNREACHABLE),
    (errors.ConfigurationError, Exit.USAGE),
    (errors.InvalidArgument, Exit.USAGE),
)

_OF_STATE = {
    schema.IN_STEP: Exit.IN_STEP,
    schema.MISSING: Exit.BEHIND,
    schema.BEHIND: Exit.BEHIND,
    schema.AHEAD: Exit.AHEAD,
}


def code_of(error: errors.AgnoStoreError) -> Exit:
    """Return the exit code of a failure."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), Exit.FAILED)


def code_of_state(state: str) -> Exit:
    """Return the exit code of a schema's state."""
    return _OF_STATE[state]
