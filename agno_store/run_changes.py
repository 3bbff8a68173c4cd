"""What may become of a stored run, as functions of its row decoded; ``Store.change_run`` runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agno_store.errors import InvalidArgument
from agno_store.records import RunUpdate

Change = Callable[[dict[str, Any]], RunUpdate]

_COMPONENTS = ("agent_id", "team_id", "workflow_id")

FOUND_BY = ("parent_run_id", *_COMPONENTS)
"""What a run says that stands in columns as well, besides which one it is, whose, and its status."""

_FINAL = ("completed", "cancelled")


def written(run: Mapping[str, Any]) -> list[str]:
    """Return the columns to write where a run is stored again, besides its payload.

    One that does not name its component keeps that, and its type, which would be guessed; likewise with its user.
    """
    of_component = [*_COMPONENTS, "run_type"] if any(run[name] for name in _COMPONENTS) else []
    of_user = ["user_id"] if run["user_id"] else []
    return [*of_component, *of_user, "status", "parent_run_id", "updated_at"]


def fenced(fields: Mapping[str, Any], attempt: int | None, content_if_absent: str | None) -> Change:
    """Return a change that patches a run unless a later attempt or a final status forbids it."""

    def change(row: dict[str, Any]) -> RunUpdate:
        run = row["run_data"]
        stored = run.get("queue_attempt")
        if attempt is not None and isinstance(stored, int) and stored > attempt:
            return RunUpdate.STALE_ATTEMPT
        before, after = (str(s or "").lower() for s in (run.get("status") or row["status"], fields.get("status")))
        if before in _FINAL and after and after != before:
            return RunUpdate.TERMINAL_REFUSED
        run.update(fields)
        if content_if_absent is not None and not run.get("content"):
            run["content"] = content_if_absent
        if attempt is not None:
            run["queue_attempt"] = attempt
        row |= {name: fields[name] for name in FOUND_BY if name in fields}
        row |= {name: fields[name] for name in ("user_id", "status") if fields.get(name)}  # it keeps those it has
        return RunUpdate.UPDATED

    return change


def cancelled(expected: str, reason: str) -> Change:
    """Return a change that cancels a run whose status is still ``expected``.

    Raises InvalidArgument for any status but those of a run that is not over.
    """
    if expected not in ("PENDING", "RUNNING"):
        raise InvalidArgument("Only a run that is PENDING or RUNNING can be cancelled.")

    def change(row: dict[str, Any]) -> RunUpdate:
        if row["status"] != expected:
            return RunUpdate.TERMINAL_REFUSED
        row["status"] = row["run_data"]["status"] = "CANCELLED"
        row["run_data"]["content"] = row["run_data"].get("content") or reason
        return RunUpdate.UPDATED

    return change
