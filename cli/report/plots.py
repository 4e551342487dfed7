"""Plots as inline SVG: text stays text (the page's font, readable when zoomed), nothing is loaded from anywhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
ACCENT, ACCENT_2, ACCENT_3 = "#2f6f6f", "#d97757", "#8aa9c9"
WIDTH, HEIGHT = 4.4, 2.5
"""Inches: as wide as a phone, so that text keeps its size there; on a desk two or three stand side by side."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mailwright",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@contextmanager
def _axes(height: float = HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    start, _, rest = body.partition(">")
    # the view box alone gives the shape: the page decides the size
    start = " ".join(part for part in start.split() if not part.startswith(("width=", "height=")))
    start = start.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"{start}>{rest}"


def _thousands(value: float, _position: int) -> str:
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def lines(rows: Sequence[dict[str, Any]], x: str, series: dict[str, str], label: str) -> str:
    """One line per series (column → name) over dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    with _axes() as (figure, axes):
        for (column, name), colour in zip(series.items(), (ACCENT, ACCENT_2, ACCENT_3), strict=False):
            axes.plot([row[x] for row in rows], [float(row[column]) for row in rows], color=colour, lw=1.6, label=name)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
        if len(series) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
        return _svg(figure, label)


def columns(rows: Sequence[dict[str, Any]], x: str, y: str, label: str) -> str:
    """One column per month."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    with _axes() as (figure, axes):
        axes.bar([row[x] for row in rows], [float(row[y]) for row in rows], width=24, color=ACCENT)
        axes.grid(axis="y")
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
        return _svg(figure, label)


def rfm_grid(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Customers by recency score (across) and frequency score (up); 5 is best."""
    import numpy as np

    grid = np.zeros((5, 5))
    for row in rows:
        grid[int(row["frequency_score"]) - 1, int(row["recency_score"]) - 1] = row["profiles"]
    with _axes(3.1) as (figure, axes):
        _heat(axes, np.sqrt(grid), [[f"{int(value):,}" for value in line] for line in grid], origin="lower")
        axes.set_xticks(range(5), [str(i) for i in range(1, 6)])
        axes.set_yticks(range(5), [str(i) for i in range(1, 6)])
        axes.set_xlabel("recency score (5 = bought lately)")
        axes.set_ylabel("frequency score")
        return _svg(figure, label)


def _heat(axes: Axes, grid: Any, texts: Sequence[Sequence[str]], origin: Literal["lower", "upper"]) -> None:
    """A table whose darkest cell has the largest value."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("mw", ["#f3f6f6", ACCENT])
    axes.imshow(grid, origin=origin, cmap=colours, aspect="auto", vmin=0)
    darkest = grid.max() or 1
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            colour = "white" if grid[row, column] > 0.6 * darkest else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    for side in axes.spines.values():
        side.set_visible(False)


def transitions(rows: Sequence[dict[str, Any]], stages: Sequence[str], label: str) -> str:
    """Who went where: stage left (down), stage entered (across); as dark as its share of those who left."""
    import numpy as np

    place = {stage: number for number, stage in enumerate(stages)}
    shares = np.zeros((len(stages), len(stages)))
    texts = [["" for _ in stages] for _ in stages]
    for row in rows:
        at = place[row["from_stage"]], place[row["to_stage"]]
        shares[at] = row["n_transitions"] / row["n_from"]
        texts[at[0]][at[1]] = f"{row['n_transitions']:,}"
    names = [stage.replace("_", "\n") for stage in stages]
    with _axes(3.4) as (figure, axes):
        _heat(axes, shares, texts, origin="upper")
        axes.set_xticks(range(len(stages)), names, fontsize=7)
        axes.set_yticks(range(len(stages)), names, fontsize=7)
        axes.set_xlabel("stage entered")
        axes.set_ylabel("stage left")
        return _svg(figure, label)


def overlap(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Of the members of each segment (down), the percentage that is in each other (across)."""
    import numpy as np

    names = sorted({row["one"] for row in rows})
    place = {name: number for number, name in enumerate(names)}
    grid = np.zeros((len(names), len(names)))
    texts = [["" for _ in names] for _ in names]
    for row in rows:
        at = place[row["one"]], place[row["other"]]
        grid[at] = row["share"] if at[0] != at[1] else 0
        texts[at[0]][at[1]] = f"{100 * row['share']:.0f}" if at[0] != at[1] else "–"
    with _axes(max(2.4, 0.34 * len(names) + 0.8)) as (figure, axes):
        _heat(axes, grid, texts, origin="upper")
        axes.set_xticks(range(len(names)), [str(number) for number in range(1, len(names) + 1)], fontsize=7)
        axes.set_yticks(range(len(names)), [f"{number} {name}" for number, name in enumerate(names, 1)], fontsize=7)
        return _svg(figure, label)


def sizes(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Members of each segment over the days on which it changed."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    last = max(row["changed_on"] for row in rows)
    with _axes(3.1) as (figure, axes):
        for name in sorted({row["segment_name"] for row in rows}):
            own = [row for row in rows if row["segment_name"] == name]
            days = [row["changed_on"] for row in own] + [last]
            members = [row["members"] for row in own] + [own[-1]["members"]]
            axes.step(days, members, where="post", label=name.replace("_", " "), linewidth=1.2)
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, fontsize=7)
        return _svg(figure, label)


def shares(rows: Sequence[dict[str, Any]], stages: Sequence[str], label: str) -> str:
    """Share of each stage over the recorded days, one on top of the other."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import PercentFormatter

    share = {(row["as_of_on"], row["stage"]): row["share"] for row in rows}
    days = sorted({row["as_of_on"] for row in rows})
    shown = [stage for stage in stages if any((day, stage) in share for day in days)]
    colours = LinearSegmentedColormap.from_list("mw", [GRID, ACCENT_3, ACCENT, ACCENT_2])
    with _axes(3.1) as (figure, axes):
        axes.stackplot(
            days,
            [[share.get((day, stage), 0.0) for day in days] for stage in shown],
            labels=[stage.replace("_", " ") for stage in shown],
            colors=[colours(number / max(len(shown) - 1, 1)) for number in range(len(shown))],
        )
        axes.set(ylim=(0, 1), xlim=(days[0], days[-1]))
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
        return _svg(figure, label)


def calibration(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Predicted against observed rate, a point per bin, sized by people."""
    with _axes(3.1) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GRID, lw=1.5, zorder=0)
        most = max((row["n"] for row in rows), default=1)
        axes.scatter(
            [row["mean_predicted"] for row in rows],
            [row["observed_rate"] for row in rows],
            s=[20 + 120 * row["n"] / most for row in rows],
            color=ACCENT,
            alpha=0.8,
            linewidths=0,
        )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability of churn", ylabel="observed rate")
        axes.grid()
        return _svg(figure, label)
