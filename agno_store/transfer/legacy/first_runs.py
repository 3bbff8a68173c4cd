"""Runs of agno 1.x as the runs of today, so that today's agno reads them and goes on from them.

What agno does not know it passes over, so nothing is taken away: keys are added beside the old ones. Only what it
could not read is replaced, and what stood there is kept under ``KEPT``.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from agno_store.transfer.conversation import Malformed
from agno_store.transfer.legacy.values import made_id, text_id, without_none

KEPT = "agno_1"
"""The key under which stands what agno 1.x had, and later releases have no place for."""

_METRICS = {
    "time": "duration",
    "audio_tokens": "audio_total_tokens",
    "input_audio_tokens": "audio_input_tokens",
    "output_audio_tokens": "audio_output_tokens",
    "cached_tokens": "cache_read_tokens",
}
_SPREAD = {
    "references": "references",
    "reasoning_steps": "reasoning_steps",
    "reasoning_messages": "reasoning_messages",
    "reasoning_content": "reasoning_content",
    "add_messages": "additional_input",
}
_MEDIA = ("images", "videos", "audio")
_PLACES = ("url", "filepath", "content")
"""A picture, film or sound is in one of them; agno refuses one that is nowhere."""

_KNOWN_BY = {"agent": (), "team": ("agent",), "workflow": ("agent", "team")}
"""agno takes a run for one of a kind before its own by these keys, and would pass over it."""


def converted(entries: Mapping[str, Any], session_id: str, kind: str, component_id: str | None) -> list[dict[str, Any]]:
    """Return a run, with the runs of its members, which are rows of their own, before it. Raises Malformed."""
    run = _unwrapped(entries)
    kept: dict[str, Any] = {}
    run |= _spread(run)
    _replace(run, kept, "metrics", metrics)
    _replace(run, kept, "status", _ended if "workflow_name" not in run else str)
    if run.get("events"):
        kept["events"] = run.pop("events")
    for name in ("messages", "reasoning_messages", "additional_input"):
        if isinstance(run.get(name), list):
            run[name] = [_message(message) for message in run[name]]
    if isinstance(run.get("tools"), list):
        run["tools"] = [_with_metrics(tool) for tool in run["tools"]]
    for name in _MEDIA:
        _replace(run, kept, name, _media)
    if run.get("session_id") not in (None, session_id):
        kept["session_id"] = run["session_id"]
    run["session_id"] = session_id
    _make_known(run, kept, kind, component_id)
    members = _members(run, kept, session_id) if run.get("member_responses") else []
    if run.get("step_responses"):
        _steps(run, session_id)
    return [*members, run | ({KEPT: kept} if kept else {})]


def _ended(status: Any) -> str:
    """Return the status of a run that is over: agents, teams and first workflows were saved then, as RUNNING."""
    return "COMPLETED" if str(status).upper() == "RUNNING" else str(status).upper()


def _make_known(run: dict[str, Any], kept: dict[str, Any], kind: str, component_id: str | None) -> None:
    """Let agno see whose run it is, which it does by the keys that are there."""
    other = next((name for name in ("agent", "team", "workflow") if f"{name}_id" in run), kind)
    if kind != "agent":
        names = [f"{before}_{what}" for before in _KNOWN_BY[kind] for what in ("id", "name")]
        kept |= {name: run.pop(name) for name in names if name in run}
        other = kind
    if kind == "workflow" and "metrics" in run:
        kept.setdefault("metrics", run.pop("metrics"))  # those of today are of steps
        run.pop("metrics", None)
    run.setdefault(f"{other}_id", component_id)


def metrics(found: Any) -> Any:
    """Return metrics under today's names, with a sum where there was a list with a number for each message."""
    if not isinstance(found, Mapping):
        return found
    summed = {name: _sum(value) for name, value in found.items()}
    return summed | {new: summed[old] for old, new in _METRICS.items() if old in summed and new not in summed}


def _sum(value: Any) -> Any:
    is_numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    return sum(value) if is_numbers else value


def _replace(run: dict[str, Any], kept: dict[str, Any], name: str, change: Callable[[Any], Any]) -> None:
    before = run.get(name)
    if before is None:
        return
    run[name] = change(before)
    if run[name] != before and not _says_as_much(before):
        kept[name] = before


def _says_as_much(before: Any) -> bool:
    """Whether all of the metrics before were of one message, so that the sums are all that there is to know."""
    return isinstance(before, Mapping) and not any(isinstance(v, list) and len(v) > 1 for v in before.values())


def _unwrapped(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run itself: the first releases of 1.x, and workflows, had it beside what it was asked."""
    response = entries.get("response")
    if entries.get("run_id") is not None or not isinstance(response, Mapping):
        return dict(entries)
    asked = [entries["message"]] if isinstance(entries.get("message"), Mapping) else None
    around = without_none({name: value for name, value in entries.items() if name not in ("response", "message")})
    run = {**around, **response}
    if not run.get("messages") and asked:
        answer = {"role": "assistant", "content": response.get("content")}
        run["messages"] = [*asked, answer] if isinstance(answer["content"], (str, list)) else asked
    return run


def _spread(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has got a place of its own since."""
    extra = run.get("extra_data")
    extra = extra if isinstance(extra, Mapping) else {}
    added = {new: extra[old] for old, new in _SPREAD.items() if extra.get(old) is not None and run.get(new) is None}
    thoughts = [run.get("thinking"), run.get("reasoning_content") or added.get("reasoning_content")]
    if isinstance(thoughts[0], str):
        added["reasoning_content"] = "\n".join(thought for thought in thoughts if isinstance(thought, str))
    return added


def _message(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return message
    today = _with_metrics(message)
    for name in _MEDIA:
        if isinstance(today.get(name), list):
            today[name] = _media(_inflated(today[name]))
    if isinstance(today.get("thinking"), str) and today.get("reasoning_content") is None:
        today["reasoning_content"] = today["thinking"]
    if isinstance(today.get("redacted_thinking"), str):
        today["redacted_reasoning_content"] = today["redacted_thinking"]
    return today


def _with_metrics(entries: Any) -> Any:
    if not isinstance(entries, Mapping):
        return entries
    return {**entries, "metrics": metrics(entries["metrics"])} if entries.get("metrics") else dict(entries)


def _media(found: Any) -> Any:
    """Return pictures, films and sounds of which each is somewhere."""
    if not isinstance(found, list):
        return found
    return [item for item in found if not isinstance(item, Mapping) or any(item.get(place) for place in _PLACES)]


def _inflated(found: list[Any]) -> list[Any]:
    """Return what a message came with as it was: 1.x has packed it."""
    return [{**item, "content": _unpacked(item["content"])} if _is_text(item) else item for item in found]


def _is_text(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("content"), str)


def _unpacked(content: str) -> str:
    try:
        return base64.b64encode(zlib.decompress(base64.b64decode(content, validate=True))).decode()
    except (binascii.Error, zlib.error, ValueError):
        return content


def _members(run: dict[str, Any], kept: dict[str, Any], session_id: str) -> list[dict[str, Any]]:
    """Take the members' runs out of a team's: theirs are of the team's session. Those of an inner team stay in it."""
    run_id = run["run_id"] = text_id(run.get("run_id")) or made_id(session_id, "team", run)
    taken: list[dict[str, Any]] = []
    stay = []
    for number, member in enumerate(run["member_responses"]):
        if not isinstance(member, Mapping):
            stay.append(member)
            continue
        [*inner, own] = converted(member, session_id, "agent", None)
        if inner:
            own["member_responses"] = inner
        own["run_id"] = text_id(own.get("run_id")) or made_id(run_id, number)
        taken.append({**own, "parent_run_id": run_id})
    run["member_responses"] = []
    if stay:
        kept["member_responses"] = stay
    return taken


def _steps(run: dict[str, Any], session_id: str) -> None:
    """Give a workflow's run its steps in today's places: what each gave, and the runs behind them."""
    results, runs = [], []
    steps = run["step_responses"]
    if not isinstance(steps, list):
        raise Malformed("step_responses is no list")
    run_id = run["run_id"] = text_id(run.get("run_id")) or made_id(session_id, "workflow", run)
    for number, step in enumerate(steps):
        if not isinstance(step, Mapping):
            raise Malformed(f"step number {number + 1} is no step")
        result = {name: value for name, value in step.items() if name != "response"}
        measured = step.get("metrics")
        if isinstance(measured, Mapping):
            result |= {name: measured.get(name) for name in ("step_name", "executor_type", "executor_name")}
            result["metrics"] = metrics(measured.get("metrics"))
        if isinstance(step.get("response"), Mapping):
            *members, own = converted(step["response"], session_id, "agent", None)
            own = {**own, "parent_run_id": run_id}
            own["run_id"] = text_id(own.get("run_id")) or made_id(run_id, number)
            if members:
                own["member_responses"] = members
            runs.append(own)
            result["step_run_id"] = own["run_id"]
        results.append(result)
    del run["step_responses"]
    run["step_results"], run["step_executor_runs"] = results, runs
    measured = run.get("workflow_metrics")
    if isinstance(measured, Mapping) and isinstance(measured.get("steps"), Mapping):
        run["metrics"] = {"steps": {name: _with_metrics(step) for name, step in measured["steps"].items()}}
