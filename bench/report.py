"""The table, the details, and the plot."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.results import Detail, Line, Result

COLOURS = {"yes": "green", "no": "red", "": "dim"}


def show(result: Result, console: Console) -> None:
    """Print what was promised beside what was measured, then what every system took."""
    table = Table("work", "database", "goal", "measured", "holds?", "", title="agno_store: goals and measured")
    for line in result.lines:
        goal, measured, holds = line.words()
        table.add_row(line.what, line.database, goal, measured, holds, line.note, style=COLOURS[holds])
    console.print(table)
    heads = ("median ms", "p95 ms", "cpu ms", "statements", "packets", "kB read", "kB written")
    table = Table("work", "database", "system", *heads)
    for detail in result.details:
        table.add_row(*_words(detail))
    console.print(table)


def _words(detail: Detail) -> list[str]:
    more = ", ".join(f"{name} {value:,.1f}" for name, value in detail.more.items())
    words = [f"{detail.what} ({more})" if more else detail.what, detail.database, detail.system]
    times = detail.times.to_dict() if detail.times else {}
    words += [f"{times[name]:.3f}" if times else "" for name in ("median_ms", "p95_ms", "cpu_ms")]
    for name, unit in (("statements", 1), ("packets", 1), ("bytes_read", 1000), ("bytes_written", 1000)):
        count = getattr(detail.cost, name, None)
        words.append("" if count is None else f"{count / unit:,.1f}")
    return words


def plot(result: Result, file: Path) -> None:
    """Draw how far each line is from its goal; 1 is the goal, and what is left of it holds.

    Raises ImportError without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [line for line in result.lines if line.goal and line.measured]
    figure, axes = pyplot.subplots(figsize=(11, 1.2 + 0.27 * len(lines)))
    labels = [f"{line.what}{', async' if 'async' in line.note else ''} — {line.database}" for line in lines]
    colours = ["#2a7f4f" if line.holds else "#b23b3b" for line in lines]
    axes.barh(labels, [_share(line) for line in lines], color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("measured over goal (where more is better: goal over measured)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _share(line: Line) -> float:
    assert line.goal
    assert line.measured
    return line.goal / line.measured if line.at_least else line.measured / line.goal
