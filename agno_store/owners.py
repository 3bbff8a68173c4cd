"""Whose a session is, and a run: what a call for a user may see and change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_store.errors import OwnerMismatch

GONE = ""
"""The owner of a session that is being deleted in pieces. No user is called so, and nobody finds what is theirs."""


def may_read(owner: str | None, user_id: str | None) -> bool:
    """Whether a call for ``user_id`` may see what belongs to ``owner``; None asks for everybody's."""
    return owner != GONE and (user_id is None or user_id == owner)


def may_write(owner: str | None, user_id: str | None) -> bool:
    """The same for writing a run: what nobody owns, anybody may."""
    return user_id is None or (user_id != GONE and owner in (None, user_id))


def of_run(of_session: str | None, of_its_own: str | None) -> str | None:
    """Return whose a run is: its session's owner's, and only where nobody owns the session its own user's."""
    return of_its_own if of_session is None else of_session


def own(session_id: str, owner: str | None, user_id: str | None) -> None:
    """Raise OwnerMismatch where a session belongs to another user."""
    if owner is not None and owner != user_id:
        raise OwnerMismatch(
            f"Session {session_id!r} belongs to another user than {user_id!r}. Nothing was written. "
            "Use a session_id of its own, or reassign_session_owner() to hand the session over."
        )


def own_run(run: Mapping[str, Any], locked: Mapping[Any, Any]) -> None:
    """Raise OwnerMismatch where a run, or the session it goes into, belongs to another user."""
    if run["user_id"] is not None:
        own(run["session_id"], of_run(locked["user_id"], locked["run_user_id"]), run["user_id"])


def bring_run(
    run: Mapping[str, Any], of_session: str | None, known: Mapping[Any, Any] | None, there: str | None
) -> None:
    """Raise OwnerMismatch where a run of a session would become nobody's, or take the place of another user's.

    ``of_session`` is the owner of the session that it comes from, ``there`` that of the one it goes to, and ``known``
    the run that it replaces.
    """
    its = of_run(of_session, run["user_id"])
    replaced = None if known is None else of_run(there, known["user_id"])
    if replaced not in (None, its):
        raise _not_brought(run, "the run of that id there belongs to another user")
    if its != of_run(there, run["user_id"]):
        raise _not_brought(run, "its session belongs to a user where it comes from, and to nobody there")


def _not_brought(run: Mapping[str, Any], why: str) -> OwnerMismatch:
    return OwnerMismatch(
        f"Run {run['run_id']!r}: {why}. Nothing of the session was written. Give both the same owner, or remove one."
    )
