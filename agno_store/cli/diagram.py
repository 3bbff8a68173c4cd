"""A store's tables as a drawing: those that stand alone on the left, those that refer to one of them on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agno_store.cli.catalogue import Table, is_many
from agno_store.cli.charts import text

_ROW, _HEAD, _SIGN = 20, 28, 7.3
"""The heights of a row and of a head, and the width of a sign."""

_MARGIN, _PAD, _GAP, _BETWEEN = 12, 12, 28, 96
"""Room around all, in a box, between boxes, and between the two columns of them."""

_STYLE = """
svg { color-scheme: light dark; --page: #fff; --ink: #1c2430; --faint: #5b6675; --line: #b8c0ca; --head: #eaf1fd; }
@media (prefers-color-scheme: dark) {
  svg { --page: #12161c; --ink: #e6eaf0; --faint: #9aa6b5; --line: #465160; --head: #22344f; }
}
.page { fill: var(--page); }
text { fill: var(--ink); font: 12px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.type { fill: var(--faint); text-anchor: end; }
.head, .key { font-weight: 700; }
.box { fill: none; stroke: var(--line); }
.top { fill: var(--head); }
.way { fill: none; stroke: var(--faint); stroke-width: 1.3; }
.none { fill: var(--page); }
"""


class _Box(NamedTuple):
    """Where a table is drawn."""

    table: Table
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return _HEAD + len(self.table.columns) * _ROW + 6

    def middle(self, column: str) -> float:
        """Return how far down the middle of a column's row is."""
        names = [one.name for one in self.table.columns]
        return self.y + _HEAD + names.index(column) * _ROW + _ROW / 2 + 2


def svg(tables: Sequence[Table]) -> str:
    """Return the drawing, which is light or dark as its reader's browser is."""
    left = _stacked([table for table in tables if not table.refers_to], _MARGIN)
    right = _stacked([table for table in tables if table.refers_to], left[0].x + left[0].width + _BETWEEN)
    boxes = [*left, *right]
    width = max(box.x + box.width for box in boxes) + _MARGIN
    height = max(box.y + box.height for box in boxes) + _MARGIN
    drawn = [line for box in boxes for line in _drawn(box)]
    for child in right:
        drawn += _way(next(box for box in left if box.table.name == child.table.refers_to), child)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    said = text("The tables of a store: " + ", ".join(table.name for table in tables))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{said}">',
            f'<style>{_STYLE}</style>\n<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="6"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _stacked(tables: Sequence[Table], x: float) -> list[_Box]:
    """Return boxes of one width, one below the other."""
    signs = max(max(len(one.name) + len(one.type) + 3 for one in table.columns) for table in tables)
    signs = max(signs, *(len(table.name) + 1 for table in tables))
    boxes, y = list[_Box](), float(_MARGIN)
    for table in tables:
        boxes.append(_Box(table, x, y, signs * _SIGN + 2 * _PAD))
        y += boxes[-1].height + _GAP
    return boxes


def _drawn(box: _Box) -> Iterator[str]:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}"'
    yield f'<rect class="top" {place} height="{_HEAD}" rx="5"/>'
    yield f'<rect class="box" {place} height="{box.height:.1f}" rx="5"/>'
    yield f'<text class="head" x="{box.x + _PAD:.1f}" y="{box.y + 18.5:.1f}">{text(box.table.name)}</text>'
    for column in box.table.columns:
        y = box.middle(column.name) + 4
        key = ' class="key"' if column.primary_key else ""
        yield f'<text{key} x="{box.x + _PAD:.1f}" y="{y:.1f}">{text(column.name)}</text>'
        yield f'<text class="type" x="{box.x + box.width - _PAD:.1f}" y="{y:.1f}">{text(column.type)}</text>'


def _way(parent: _Box, child: _Box) -> Iterator[str]:
    """Give the line from a row to those that refer to it, with a foot where there may be many."""
    start, at = parent.x + parent.width, parent.middle("session_id")
    end, to = child.x, child.middle("session_id")
    one = f"M{start + 8:.1f} {at - 5:.1f}v10M{start + 12:.1f} {at - 5:.1f}v10"
    foot = f"M{end - 10:.1f} {to:.1f}l10 -5m-10 5l10 5" if is_many(child.table) else f"M{end - 7:.1f} {to - 5:.1f}v10"
    yield f'<path class="way" d="M{start:.1f} {at:.1f}h{_BETWEEN / 2}V{to:.1f}H{end:.1f}{one}{foot}"/>'
    yield f'<circle class="way none" cx="{end - 14:.1f}" cy="{to:.1f}" r="4"/>'
