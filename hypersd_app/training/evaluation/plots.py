"""Figures over the number of steps, with teacher and real images as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Line = Sequence[tuple[float, float, float]]  # (steps, value, half width of its interval)


Panels = Mapping[str, tuple[Mapping[str, Line], Mapping[str, float]]]  # title -> lines and horizontal marks by name


def plot_lines(panels: Panels, path: Path, panel_size: tuple[float, float] = (5, 4.2)) -> None:
    """A panel for each title: lines over steps with error bars, and marks as horizontal lines. Inches per panel."""
    figure = Figure(figsize=(panel_size[0] * len(panels), panel_size[1]), layout="constrained")
    for axis, (title, (lines, marks)) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _panel(axis, title, lines, marks)
    _save(figure, path)


def _panel(axis: Any, title: str, lines: Mapping[str, Line], marks: Mapping[str, float]) -> None:
    for name, points in lines.items():
        steps, values, widths = zip(*points, strict=True)
        axis.errorbar(steps, values, yerr=widths if any(widths) else None, marker="o", capsize=3, label=name)
    for place, (name, level) in enumerate(marks.items()):
        axis.axhline(level, color="0.5", linestyle=("--", ":", "-.")[place % 3], linewidth=1, label=name)
    ticks = sorted({point[0] for points in lines.values() for point in points})
    if ticks:
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set(title=title, xlabel="steps")
    axis.legend(fontsize=7)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))
