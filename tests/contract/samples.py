"""Short ways to say what a test stores and reads."""

from __future__ import annotations

from typing import Any


def run(run_id: str, content: Any = "hello", **more: Any) -> dict[str, Any]:
    """An agent's run as frameworks write it."""
    return {"run_id": run_id, "agent_id": "helper", "content": content, "status": "COMPLETED", **more}


def session(session_id: str, **more: Any) -> dict[str, Any]:
    """An agent's session as a dict."""
    return {"session_id": session_id, "session_type": "agent", **more}


def append(db: Any, session_id: str, *run_ids: str, **more: Any) -> None:
    """Store runs one after the other."""
    for run_id in run_ids:
        db.upsert_run(run(run_id, **more), session_id)


def run_ids(db: Any, session_id: str, **options: Any) -> list[str]:
    """The ids of a session's runs, in the order they are read."""
    return [run["run_id"] for run in db.get_session(session_id, deserialize=False, **options)["runs"]]


def positions(db: Any, session_id: str) -> dict[str, int]:
    """The position of each run of a session, in the order they are read."""
    rows, _ = db.get_runs(session_id=session_id, deserialize=False)
    return {row["run_id"]: row["run_index"] for row in rows}


def listed(db: Any, **filters: Any) -> list[str]:
    """The ids of the sessions that are listed, in order."""
    return [entry["session_id"] for entry in db.get_sessions(deserialize=False, include_runs=False, **filters)[0]]
