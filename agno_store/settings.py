"""What an operator says to every store of a process, with variables of its environment."""

from __future__ import annotations

import os

from agno_store.errors import ConfigurationError

AUTO_UPGRADE = "AGNO_STORE_AUTO_UPGRADE_SCHEMA"
"""The variable with which an operator overrules ``auto_upgrade_schema=``."""

_YES_OR_NO = {"": None, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


SLOW = "AGNO_STORE_SLOW_OPERATION_MS"
"""The variable with which an operator overrules ``slow_operation_ms=``."""


def upgrades_by_itself() -> bool | None:
    """What AGNO_STORE_AUTO_UPGRADE_SCHEMA says: yes, never (not even for a store without tables), or nothing."""
    said = os.environ.get(AUTO_UPGRADE, "").strip().lower()
    if said not in _YES_OR_NO:
        raise ConfigurationError(f"{AUTO_UPGRADE}={said!r}: it must be 1 (or true) or 0 (or false), or be left out.")
    return _YES_OR_NO[said]


def slow_operation_ms() -> float | None:
    """What AGNO_STORE_SLOW_OPERATION_MS says: from how many milliseconds on a call is slow, or nothing."""
    said = os.environ.get(SLOW, "").strip()
    try:
        milliseconds = float(said) if said else None
    except ValueError:
        milliseconds = -1.0
    if milliseconds is not None and not milliseconds >= 0:
        raise ConfigurationError(f"{SLOW}={said!r}: it must be milliseconds, from 0 on, or be left out.")
    return milliseconds
