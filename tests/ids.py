"""Names of test cases that are the same in every process, whatever its hash seed."""

from __future__ import annotations


def stable(value: object) -> str:
    """Show a value; a set in order, and an object without an address."""
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return type(value).__name__ if type(value) is object else str(value)
