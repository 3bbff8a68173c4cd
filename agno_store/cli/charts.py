"""Charts as SVG that stands in a page: bars over time, and bars beside names. Their colours are the page's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from agno_store.cli.render import in_a_line

Told = Callable[[int], str]
"""How a number is written for people."""

_WIDTH, _HEIGHT = 400, 150
_LEFT, _TOP, _BOTTOM = 60, 8, 22
_LINE, _ROW, _NAMES, _ROOM = 640, 26, 190, 92
"""Room: of a chart over time and its edges; of one beside names, of each name and row, and behind the longest bar."""

_LONGEST = 24
"""Letters of a name that have room beside its bar; the table has them all."""

_FIRST = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""How a number begins that reads well at the top of a scale."""


def text(value: str) -> str:
    """Return a text as a page shows it: no mark-up in it is obeyed, and no sign that would turn what follows."""
    return escape(in_a_line(value))


def columns(title: str, names: Sequence[str], values: Sequence[int], told: Told) -> str:
    """Return a bar for each value, from left to right, over a scale."""
    highest = _round_up(max(values, default=0))
    step = (_WIDTH - _LEFT) / max(1, len(values))
    floor = _HEIGHT - _BOTTOM
    drawn = [*_scale(highest, told, floor)]
    for n, (name, value) in enumerate(zip(names, values, strict=True)):
        if value:
            height = max(1.0, (floor - _TOP) * value / highest)
            place = f'x="{_LEFT + n * step + step * 0.1:.2f}" y="{floor - height:.2f}"'
            size = f'width="{step * 0.8:.2f}" height="{height:.2f}"'
            drawn.append(f'<rect {place} {size} rx="1.5"><title>{text(name)}: {text(told(value))}</title></rect>')
    for n, anchor in {0: "start", len(names) // 2: "middle", len(names) - 1: "end"}.items():
        at = {"start": _LEFT, "middle": _LEFT + (n + 0.5) * step, "end": _WIDTH}[anchor]
        drawn.append(f'<text x="{at:.1f}" y="{_HEIGHT - 5}" text-anchor="{anchor}">{text(names[n])}</text>')
    return _drawing(title, _WIDTH, _HEIGHT, drawn)


def bars(title: str, names: Sequence[str], values: Sequence[int], told: Told) -> str:
    """Return a bar for each value, one below the other, beside its name."""
    most = max(values, default=0) or 1
    drawn = []
    for n, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = n * _ROW + _ROW / 2 + 4
        short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        width = max(1.0 if value else 0.0, (_LINE - _NAMES - _ROOM) * value / most)
        drawn += [
            f"<g><title>{text(name)}: {text(told(value))}</title>",
            f'<text x="{_NAMES - 10}" y="{middle:.1f}" text-anchor="end">{text(short)}</text>',
            f'<rect x="{_NAMES}" y="{n * _ROW + 4}" width="{width:.2f}" height="{_ROW - 8}" rx="2"/>',
            f'<text x="{_NAMES + width + 8:.2f}" y="{middle:.1f}" class="amount">{text(told(value))}</text></g>',
        ]
    return _drawing(title, _LINE, max(1, len(values)) * _ROW, drawn)


def _drawing(title: str, width: int, height: int, drawn: Sequence[str]) -> str:
    inside = "\n".join(drawn)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text(title)}">\n{inside}\n</svg>'


def _scale(highest: int, told: Told, floor: int) -> Iterator[str]:
    for value in sorted({0, highest // 2, highest}):
        y = floor - (floor - _TOP) * value / highest
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text(told(value))}</text>'


def _round_up(most: int) -> int:
    """Return the next number that reads well at the top of a scale."""
    zeros: int = 10 ** max(0, len(str(most)) - 2)
    return zeros * next(first for first in _FIRST if first * zeros >= most)
