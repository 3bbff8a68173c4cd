"""The figures of a store as a page that is one file: no script, nothing that a browser would have to fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from agno_store.cli import charts
from agno_store.cli.charts import text
from agno_store.cli.reading import size, told
from agno_store.clock import DAY, SECOND

_NOTHING = "<p>Nothing yet.</p>"

# What a browser is told to keep to, whatever a page holds: no script, no picture, no font, from nowhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --ink: #1c2430; --faint: #5b6675; --line: #dfe3e8;
  --bar: #2f6fde; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1a2028; --ink: #e6eaf0; --faint: #9aa6b5; --line: #2d3642; --bar: #6ea3ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 .75rem; font-size: 1.1rem; }
h3 { margin: 0 0 .25rem; font-size: .85rem; font-weight: 600; color: var(--faint); }
p { margin: .25rem 0 1.5rem; color: var(--faint); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0 0 1.5rem; }
dl div, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
dl div { padding: .75rem 1rem; }
dt { color: var(--faint); font-size: .85rem; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
dd time { display: inline-block; font-size: .95rem; line-height: 1.35; }
section { padding: 1.1rem 1.25rem; margin-bottom: 1.25rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem 1.5rem; }
svg { display: block; width: 100%; height: auto; max-width: 52rem; margin-bottom: .5rem; }
svg text { fill: var(--faint); font-size: 12px; }
svg text.amount { fill: var(--ink); }
svg rect { fill: var(--bar); }
svg path { stroke: var(--line); fill: none; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); font-size: .85rem; padding: .25rem 0; }
th, td { padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--faint); }
thead th:first-child, .sessions :nth-child(2) { text-align: left; }
th[scope=row] { text-align: left; white-space: normal; overflow-wrap: anywhere; color: var(--ink); font-weight: 400; }
summary { cursor: pointer; color: var(--faint); }
@media print { body { max-width: none; padding: 0; } section { break-inside: avoid; } }
"""


def page(store: str, url: str, stats: Any, now: int) -> str:
    """Return the page about a store, as of a moment."""
    body = "\n".join([*_head(store, url, stats, now), *_sections(stats, now)])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(store)}: what it holds</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _head(store: str, url: str, stats: Any, now: int) -> Iterator[str]:
    yield f"<h1>{text(store)}</h1>"
    yield f"<p>{text(url)}, as of {_time(now)} (UTC)</p>"
    yield "<dl>"
    for name, value in (
        ("sessions", _number(stats.sessions)),
        ("users", _number(stats.users)),
        ("runs", _number(stats.runs)),
        ("payloads", _bytes(stats.bytes)),
        ("first made (UTC)", _time(stats.created_at)),
        ("last written to (UTC)", _time(stats.updated_at)),
    ):
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"
    yield "</dl>"


def _sections(stats: Any, now: int) -> Iterator[str]:
    yield from _growth(stats.days)
    yield from _shares("Users", "user", stats.by_user)
    yield from _shares("Agents, teams and workflows", "of", stats.by_component)
    yield from _sessions("Largest sessions", stats.largest, [one.bytes for one in stats.largest], size)
    rest = [0 if one.updated_at is None else max(0, (now - one.updated_at) * SECOND // DAY) for one in stats.oldest]
    yield from _sessions("Sessions at rest for the longest time", stats.oldest, rest, _days)


def _growth(days: Sequence[Any]) -> Iterator[str]:
    names = [day.date for day in days]
    yield from ("<section>", "<h2>Growth by day (UTC)</h2>", '<div class="charts">')
    for name, values, as_text in (
        ("runs", [day.runs for day in days], _count),
        ("sessions", [day.sessions for day in days], _count),
        ("bytes of runs", [day.bytes for day in days], size),
    ):
        yield f"<div><h3>{name}</h3>{charts.columns(f'{name} by day', names, values, as_text)}</div>"
    yield "</div>\n<details><summary>The same as a table</summary>"
    rows = [(day.date, _number(day.runs), _number(day.sessions), _bytes(day.bytes)) for day in days]
    yield from _table("What was added on each day", ("day", "runs", "sessions", "bytes"), rows)
    yield "</details>\n</section>"


def _shares(title: str, column: str, shares: Sequence[Any]) -> Iterator[str]:
    names = [share_name(one) for one in shares]
    yield from ("<section>", f"<h2>{title}</h2>")
    yield charts.bars(f"{title}, by bytes", names, [one.bytes for one in shares], size) if shares else _NOTHING
    rows = [
        (name, _number(one.sessions), _number(one.runs), _bytes(one.bytes))
        for name, one in zip(names, shares, strict=True)
    ]
    yield from _table(f"{title}, those with the most first", (column, "sessions", "runs", "bytes"), rows)
    yield "</section>"


def share_name(share: Any) -> str:
    """Return whose a share is, as people read it."""
    kind = f"{share.session_type} " if share.session_type else ""
    return kind + ("(nobody)" if share.id is None else str(share.id))


def _sessions(title: str, found: Sequence[Any], values: Sequence[int], as_text: charts.Told) -> Iterator[str]:
    yield from ("<section>", f"<h2>{title}</h2>")
    yield charts.bars(title, [one.session_id for one in found], values, as_text) if found else _NOTHING
    rows = [
        (one.session_id, text(one.user_id or ""), _number(one.runs), _bytes(one.bytes), _time(one.updated_at))
        for one in found
    ]
    columns = ("session", "user", "runs", "bytes", "last written to (UTC)")
    yield from _table(title, columns, rows, "sessions")
    yield "</section>"


def _table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]], kind: str = "plain") -> Iterator[str]:
    """Give a table; the first cell of a row is a name, the others are what stands in the page."""
    yield f'<div class="table"><table class="{kind}">\n<caption>{caption}</caption>\n<thead><tr>'
    yield from (f'<th scope="col">{column}</th>' for column in columns)
    yield "</tr></thead>\n<tbody>"
    for name, *cells in rows:
        yield f'<tr><th scope="row">{text(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    yield "</tbody>\n</table></div>"


def _valued(value: int, as_text: Callable[[int], str]) -> str:
    return f'<data value="{value}">{as_text(value)}</data>'


def _count(value: int) -> str:
    return f"{value:,}"


def _days(value: int) -> str:
    return f"{value:,} day{'' if value == 1 else 's'}"


def _number(value: int) -> str:
    return _valued(value, _count)


def _bytes(value: int) -> str:
    return _valued(value, size)


def _time(seconds: Any) -> str:
    """Return a time for people and for programs; what is none, as SQLite may keep in its place, as it is."""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError, OSError):
        return text(told(seconds))
    return f'<time datetime="{moment}">{told(seconds)}</time>'
