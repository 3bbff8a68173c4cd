"""Which release of agno_store this is, and how releases are put in order."""

from __future__ import annotations

import re

__version__ = "0.2.0.dev0"

_RELEASE = r"\d+(?:\.\d+)+"


def order(release: str) -> tuple[int, ...]:
    """Return the numbers of a release, which sort as releases do; a pre-release counts as its release, 1.0 as 1.0.0.

    Raises ValueError for what is no release.
    """
    found = re.match(_RELEASE, release)
    if found is None:
        raise ValueError(f"{release!r} is no release: it looks like 1.2.3.")
    numbers = tuple(int(number) for number in found[0].split("."))
    return numbers + (0,) * (3 - len(numbers))
