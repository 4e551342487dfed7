"""Plots as inline SVG: text stays text (the page's font, readable when zoomed), nothing is loaded from anywhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
    from matplotlib.colors import LinearSegmentedColormap

    grid = np.zeros((5, 5))
    for row in rows:
        grid[int(row["frequency_score"]) - 1, int(row["recency_score"]) - 1] = row["profiles"]
    with _axes(3.1) as (figure, axes):
        colours = LinearSegmentedColormap.from_list("mw", ["#f3f6f6", ACCENT])
        axes.imshow(np.sqrt(grid), origin="lower", cmap=colours, aspect="auto")
        darkest = np.sqrt(grid.max()) or 1
        for (row, column), value in np.ndenumerate(grid):
            colour = "white" if np.sqrt(value) > 0.6 * darkest else INK
            axes.text(column, row, f"{int(value):,}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(5), [str(i) for i in range(1, 6)])
        axes.set_yticks(range(5), [str(i) for i in range(1, 6)])
        axes.set_xlabel("recency score (5 = bought lately)")
        axes.set_ylabel("frequency score")
        for side in axes.spines.values():
            side.set_visible(False)
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
