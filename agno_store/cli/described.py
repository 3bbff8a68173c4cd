"""What the tables of a store and their columns hold, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agno_store.names import Names

_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "sessions": "a row for each session",
        "runs": "a row for each run, members' runs included",
        "summaries": "the summary of a session, where it has one",
        "media": "a row for each long text of a session's runs that is kept beside them",
        "upgrades": "the journal of the upgrades; no revision makes it: it is there before the first is run",
    }
)

_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sessions": {
            "session_id": "the session's id; a tenant's stands in front of it",
            "session_type": "`agent`, `team` or `workflow`; stays as first stored",
            "agent_id": "the agent it belongs to",
            "team_id": "the team it belongs to",
            "workflow_id": "the workflow it belongs to",
            "user_id": "the user it belongs to",
            "workflow_name": "the name of a workflow session's workflow",
            "name_folded": "`session_data.session_name` without case and in Unicode's form NFC, for searching",
            "session_data": "its name, its state, and what else the framework keeps",
            "agent_data": "what the framework keeps of the agent",
            "team_data": "what the framework keeps of the team",
            "workflow_data": "what the framework keeps of the workflow",
            "metadata": "what the caller keeps",
            "next_run_index": "the position that the next run gets; never goes back",
            "version": "counts the changes of the row",
            "created_at": "when it was made",
            "runs_changed": "less `updated_at` it is another number after each change or deletion of a stored run",
            "updated_at": "moves with every write to the session, its runs and its summary",
            "tenant_id": "whose store it is in; empty without tenants",
        },
        "runs": {
            "session_id": "the session it is in",
            "run_index": "its place in the session, given by the database; never given twice",
            "run_id": "unique within the session",
            "run_type": "`agent`, `team` or `workflow`",
            "parent_run_id": "the team's run that this is a member's part of",
            "agent_id": "the agent that ran",
            "team_id": "the team that ran",
            "workflow_id": "the workflow that ran",
            "user_id": "the user for whom",
            "status": "`PENDING`, `RUNNING`, `COMPLETED`, `ERROR` and so on",
            "run_data": "the whole run",
            "version": "counts the changes of the row",
            "created_at": "when it began, as the framework says it",
            "updated_at": "when it was last written to",
        },
        "summaries": {
            "session_id": "the session it is of",
            "summary": "its text",
            "topics": "a list, where there is one",
            "summary_data": "whatever else the framework keeps with it, such as agno's `updated_at`",
            "run_index": "the last run it covers, where that is known",
            "created_at": "when the session got its first",
            "updated_at": "when this one was written",
        },
        "media": {
            "session_id": "the session whose runs need it",
            "digest": "the SHA-256 of the text, by which the runs name it",
            "size": "its bytes",
            "data": "the text, as it stood between its quotation marks; empty where it is elsewhere",
            "place": "its key in the store of objects, where it is there",
            "created_at": "when it was first stored",
        },
        "upgrades": {
            "entry": "counts up",
            "revision": "the revision",
            "what": "what was done: `up`, `down`, `stamp` or `backfill`",
            "done_at": "when, by the server's clock",
            "microseconds": "how long it took, where that was measured",
            "applied_by": "the release of agno_store that did it",
            "works_with": "the oldest release that works with the revision",
            "reached": "how far a backfill has come: the last key, as JSON",
        },
    }
)


def of_table(n: Names, table: str) -> str:
    """Return what a table of the store called ``n`` holds; nothing of one that is not described."""
    return _TABLES.get(_short(n, table), "")


def of_column(n: Names, table: str, column: str) -> str:
    """Return what a column holds."""
    return _COLUMNS.get(_short(n, table), {}).get(column, "")


def _short(n: Names, table: str) -> str:
    return next((short for short in _TABLES if getattr(n, short) == table), table)
