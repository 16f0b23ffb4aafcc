"""Drawings for reports, as SVG text that is the same for the same data."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "drehr", "font.size": 10, "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
WIDTH, HEIGHT = 7.5, 3.6


def lines(values: Mapping[str, Sequence[float]], at: Sequence[float], x: str, y: str) -> str:
    """A line for each name over a logarithmic axis."""

    def draw(axes: Any) -> None:
        for name, of in values.items():
            axes.plot(at, of, marker="o", markersize=3, label=name)
        axes.set(xscale="log", xlabel=x, ylabel=y, ylim=(0, 1.02))
        axes.set_xticks(at, [f"{tick:g}" for tick in at])
        axes.minorticks_off()
        axes.legend()

    return _svg(draw)


def sorted_bars(values: Mapping[str, np.ndarray], x: str, y: str) -> str:
    """For each name its values, highest first, as steps from zero."""

    def draw(axes: Any) -> None:
        for name, of in values.items():
            axes.step(np.arange(len(of)), np.sort(of)[::-1], where="mid", label=name)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel=x, ylabel=y)
        axes.legend()

    return _svg(draw)


def histograms(values: Mapping[str, np.ndarray], x: str, y: str, bins: int = 40) -> str:
    """Overlaid histograms over one range; values that are nan are left out."""

    def draw(axes: Any) -> None:
        kept = {name: of[~np.isnan(of)] for name, of in values.items()}
        whole = np.concatenate(list(kept.values()))
        edges = np.histogram_bin_edges(whole if len(whole) else np.zeros(1), bins)
        for name, of in kept.items():
            axes.hist(of, edges, alpha=0.5, label=name)
        axes.set(xlabel=x, ylabel=y)
        axes.legend()

    return _svg(draw)


def _svg(draw: Callable[[Any], None]) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
