"""Names of sessions as they are searched."""

from __future__ import annotations

import re
from typing import Any

from agno_store.errors import InvalidArgument

_UNSEARCHABLE = "[\x00\ud800-\udfff]"


def fold(name: Any) -> str:
    """Return a session's name as it is searched: without case, in one Unicode form, and storable everywhere.

    Raises InvalidArgument for anything but a str.
    """
    if not isinstance(name, str):
        raise InvalidArgument(f"session_name must be a str, not {type(name).__name__}.")
    if type(name) is str and name.isascii() and "\x00" not in name:
        return name.lower()  # to which the rest comes
    import unicodedata

    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(_UNSEARCHABLE, "\ufffd", folded)
