"""Figures over the number of steps, with teacher and real pictures as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from hypersd_app.training.evaluation.report import Report, Row

Value = Callable[["Row"], float]
Line = Sequence[tuple[float, float, float]]  # (steps, value, half width of its interval)


def plot_report(report: Report, path: Path) -> None:
    """R@1, Fréchet distances and diversity of every student."""
    spaces = list(report.rows[0].spaces)
    panels: list[tuple[str, Value]] = [("R@1", lambda row: row.recall_at_1[0])]
    panels += [(f"Fréchet distance ({name})", lambda row, name=name: row.spaces[name].frechet) for name in spaces]  # type: ignore[misc]
    panels += [(f"diversity ({name})", lambda row, name=name: row.diversity.get(name, float("nan"))) for name in spaces]  # type: ignore[misc]
    figure = Figure(figsize=(4 * len(panels), 3.4), layout="constrained")
    students = [row for row in report.rows if row.steps and not row.name.startswith("teacher")]
    for axis, (title, value) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        lines: dict[str, list[tuple[float, float, float]]] = {}
        for row in students:
            lines.setdefault(row.name.partition(",")[0], []).append((row.steps, value(row), 0.0))
        marks = {row.name: value(row) for row in report.rows if row not in students}
        _panel(axis, title, lines, marks)
    _save(figure, path)


def plot_lines(panels: Mapping[str, tuple[Mapping[str, Line], Mapping[str, float]]], path: Path) -> None:
    """A panel for each title: lines over steps with error bars, and marks as horizontal lines."""
    figure = Figure(figsize=(5 * len(panels), 4.2), layout="constrained")
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
