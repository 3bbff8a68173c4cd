"""The runs of one session as agno's releases have kept them, made into rows: each with an id, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agno_store.records import Run, run_type
from agno_store.transfer.conversation import Malformed
from agno_store.transfer.legacy.values import decoded, made_id, seconds, text_id

IN_SOURCE = "run_id_in_source"
"""Where a run that shared its id with another one of its session still says so."""

_COLUMNS = ("parent_run_id", "agent_id", "team_id", "workflow_id", "user_id", "status")


def dictionaries(runs: Sequence[Any], problems: list[str]) -> list[dict[str, Any]]:
    """Return those that are runs, and note the others."""
    found = []
    for number, run in enumerate(runs):
        try:
            entries = decoded(run, f"run number {number + 1}", dict)
        except Malformed as error:
            problems.append(str(error))
            continue
        if entries is None:
            problems.append(f"run number {number + 1} is empty")
        else:
            found.append(entries)
    return found


def identified(session_id: str, runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return runs of which each has an id of its own in its session; agno drops those without.

    A missing id is made from what the run holds, so it is the same at every reading. Of two runs with one id the
    first keeps it, and one that is a copy of it is left out.
    """
    first: dict[str, Any] = {}
    same: Counter[str] = Counter()
    found = []
    for run in runs:
        run_id = text_id(run.get("run_id"))
        if run_id is not None and run_id not in first:
            first[run_id] = run
            found.append(run if run["run_id"] == run_id else {**run, "run_id": run_id})
        elif run_id is None or first[run_id] != run:
            content = made_id(session_id, run)
            same[content] += 1
            made = made_id(content, same[content])
            found.append({**run, "run_id": made} | ({} if run_id is None else {IN_SOURCE: run_id}))
    return found


def of_rows(rows: Iterable[Mapping[str, Any]], problems: list[str]) -> list[Run]:
    """Return the runs in rows of agno 3.x, in their order, and note those that cannot be read."""
    found = []
    for row in sorted(rows, key=_place):
        try:
            found.append(_of_row(row))
        except Malformed as error:
            problems.append(f"run {row['run_id']!r}: {error}")
    return found


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    numbers = [value if isinstance(value, (int, float)) else None for value in (row["run_index"], row["created_at"])]
    return *((value is None, value or 0) for value in numbers), str(row["run_id"])


def _of_row(row: Mapping[str, Any]) -> Run:
    run_id = text_id(row["run_id"])
    if run_id is None:
        raise Malformed("it has no run_id")
    entries = decoded(row["run_data"], "run_data", dict)
    if entries is None:
        raise Malformed("run_data is empty")
    entries = entries if entries.get("run_id") == run_id else {**entries, "run_id": run_id}
    return Run(
        run_id=run_id,
        run_data=entries,
        run_type=row["run_type"] if row["run_type"] in ("agent", "team", "workflow") else run_type(entries),
        created_at=seconds(row["created_at"], "created_at"),
        updated_at=seconds(row["updated_at"], "updated_at"),
        **_ids(row, _COLUMNS),
    )


def _ids(entries: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: text_id(entries.get(name)) for name in names}


def of_dictionary(entries: dict[str, Any], kind: str | None = None) -> Run:
    """Return a run that was inside its session. Raises Malformed."""
    status = entries.get("status")
    return Run(
        run_id=entries["run_id"],
        run_data=entries,
        run_type=kind or run_type(entries),
        created_at=seconds(entries.get("created_at"), f"created_at of run {entries['run_id']!r}"),
        status=str(status) if isinstance(status, str) else None,
        **_ids(entries, _COLUMNS[:-1]),
    )


def merged(inside: Sequence[Run], beside: Sequence[Run]) -> list[Run]:
    """Return the runs of a session that has them in both places, as agno 3.x reads them.

    The column is the older one and gives the order, the table is the newer one and gives what became of a run; what
    is in the table alone came after the column was left behind.
    """
    newer = {run.run_id: run for run in beside}
    older = {run.run_id for run in inside}
    return [newer.get(run.run_id, run) for run in inside] + [run for run in beside if run.run_id not in older]
