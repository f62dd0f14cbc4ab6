"""The study's tables and plot: figures of all blocks, and beside each how it compares with its own block's teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypersd_app.training.evaluation.distances import interval
from hypersd_app.training.evaluation.models import STUDENT_STEPS, TEACHER_STEPS
from hypersd_app.training.study.comparisons import Comparison, blocks_by_seed, corrected_together, paired_bootstrap
from hypersd_app.training.study.config import (
    NAMED_FIGURE,
    NAMED_TEACHERS,
    PRESETS,
    TEACHER,
    VARIANTS,
    StudyConfig,
    named_comparisons,
    row_key,
)
from hypersd_app.training.study.rows import Row, Rows


@dataclass(frozen=True)
class Figure:
    """A column of the tables: times `scale`, with so many `digits`.

    `compare` puts a student's value beside its teacher's: "ratio", or "difference" for what may be zero.
    """

    name: str
    title: str
    scale: float = 1.0
    digits: int = 2
    compare: str = "ratio"


FIGURES = (
    Figure("recall", "R@1, %", 100, 1),
    Figure("frechet_what", "Fréchet distance (what)"),
    Figure("frechet_how", "Fréchet distance (how)"),
    Figure("kernel_what", "kernel distance (what)", digits=3, compare="difference"),
    Figure("kernel_how", "kernel distance (how)", digits=3, compare="difference"),
    Figure("diversity_what", "diversity (what)"),
    Figure("diversity_how", "diversity (how)"),
)


class Results:
    """The rows of one study alone: those of another config are not looked at."""

    def __init__(self, config: StudyConfig, rows: Rows) -> None:
        self._keys = {name: row_key(config, name) for name in (TEACHER, *VARIANTS)}
        self._rows = [row for row in rows.all() if row.config == self._keys.get(row.variant)]
        self._teachers = {(row.block, row.seed): row for row in self._rows if row.variant == TEACHER}

    def of(self, name: str) -> list[Row]:
        """The rows of a variant or of the teacher whose own teacher was measured, one a block and seed."""
        return [row for row in self._rows if row.variant == name and (row.block, row.seed) in self._teachers]

    def variants(self) -> list[str]:
        """Which there are, in the order of VARIANTS."""
        return [name for name in VARIANTS if self.of(name)]

    def values(self, name: str, steps: int, figure: Figure) -> list[float]:
        """A figure of each row, scaled."""
        return [figure.scale * row.figures[str(steps)][figure.name] for row in self.of(name)]

    def compared(self, name: str, steps: int, figure: Figure) -> list[float]:
        """The same beside the teacher of its block."""
        teachers = [self._teachers[row.block, row.seed].figures[str(TEACHER_STEPS)][figure.name] for row in self.of(name)]
        pairs = zip(self.values(name, steps, figure), teachers, strict=True)
        if figure.compare == "ratio":
            return [value / (figure.scale * teacher) if teacher else float("nan") for value, teacher in pairs]
        return [value - figure.scale * teacher for value, teacher in pairs]

    def blocks(self, name: str, steps: int) -> dict[int, Sequence[float]]:
        """The named figure's parts by seed; of several blocks of rows the last one's."""
        return {row.seed: row.blocks[str(steps)] for row in self.of(name) if str(steps) in row.blocks}


def comparisons(studies: Mapping[str, Results]) -> list[Comparison]:
    """Hyper-SD against each method at each number of steps that was named, per teacher, corrected for all of them."""
    found = []
    for teacher, results in studies.items():
        for name, steps in named_comparisons():
            pair = blocks_by_seed(results.blocks("hyper-sd", steps), results.blocks(name, steps))
            if pair is not None:
                title = f"{teacher}: {VARIANTS[name].title}, {steps} step{'s'[: steps > 1]}"
                found.append(paired_bootstrap(title, *pair))
    return corrected_together(found, max(len(found), len(NAMED_TEACHERS) * len(named_comparisons())))


def comparison_table(studies: Mapping[str, Results]) -> str:
    """The named comparisons as a table, and how many of those planned are there."""
    found, planned = comparisons(studies), len(NAMED_TEACHERS) * len(named_comparisons())
    title = next(figure.title for figure in FIGURES if figure.name == NAMED_FIGURE)
    lines = [
        "### Named comparisons", "",
        f"Hyper-SD less the other, {title}: below 0 is better. Paired bootstrap over seeds and prompts; Holm's correction for all"
        f" {planned} that were named before any row was trained, of which {len(found)} are there. All other figures are"
        " exploratory.",
        "",
    ]  # fmt: skip
    rows = [
        [each.title, f"{each.difference:.4f}", f"{each.low:.4f} to {each.high:.4f}", f"{each.p:.4f}", f"{each.corrected:.4f}",
         each.verdict]
        for each in found
    ]  # fmt: skip
    return "\n".join([*lines, *_table(["against", "difference", "95 % interval", "p", "corrected", "Hyper-SD is"], rows)])


def markdown(config: StudyConfig, results: Results) -> str:
    """All tables: mean ± half of the 95 % interval over blocks, then the same of the comparison with the teacher."""
    lines = []
    for figure in FIGURES:
        beside = "ratio to" if figure.compare == "ratio" else "difference from"
        said = _said(results.values(TEACHER, TEACHER_STEPS, figure), figure.digits)
        lines += [
            f"### {figure.title}",
            "",
            f"Teacher, {TEACHER_STEPS} steps: {said}. In brackets the {beside} its block's teacher.",
            "",
        ]
        lines += _table(["method", *(f"{n} step{'s'[: n > 1]}" for n in STUDENT_STEPS)], _cells(results, figure))
    lines += ["### Cost", ""]
    lines += _table(
        ["method", "seeds", "steps, by stage", "forward passes a step, by stage", "before the first step", "minutes"],
        _costs(results),
    )
    lines += [
        f"Each row may spend {config.budget:.0f} forward passes for one image; what goes on from TSCD's earlier stages is charged"
        f" their {config.trunk:.0%}, and its minutes leave them out. {config.pictures} images a row, and"
        f" {config.diversity_prompts} x {config.diversity_seeds} for diversity.",
        "",
    ]
    return "\n".join(lines)


def _cells(results: Results, figure: Figure) -> list[list[str]]:
    digits = 2 if figure.compare == "ratio" else figure.digits

    def cell(name: str, steps: int) -> str:
        compared = _said(results.compared(name, steps, figure), digits)
        return f"{_said(results.values(name, steps, figure), figure.digits)} ({compared})"

    return [[VARIANTS[name].title, *(cell(name, steps) for steps in STUDENT_STEPS)] for name in results.variants()]


def _costs(results: Results) -> list[list[str]]:
    found = []
    for name in results.variants():
        rows = results.of(name)
        steps, costs = (", ".join(f"{value:.0f}" for value in values) for values in (rows[0].steps, rows[0].costs))
        minutes = sum(row.minutes for row in rows) / len(rows)
        seeds = ", ".join(str(row.seed) for row in rows)
        found.append([VARIANTS[name].title, seeds, steps, costs, f"{rows[0].before:.0f}", f"{minutes:.1f}"])
    return found


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _said(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    mean, half = interval(values)
    return f"{mean:.{digits}f}" if half == float("inf") else f"{mean:.{digits}f} ± {half:.{digits}f}"


def write(config: StudyConfig, rows: Rows, stem: Path) -> None:
    """Leave `stem`.md and `stem`.png."""
    from hypersd_app.training.evaluation.plots import plot_lines

    results = Results(config, rows)
    studies = (
        {name: Results(PRESETS[name], rows) for name in NAMED_TEACHERS}
        if _row_keys(config) in [_row_keys(each) for each in _named()]
        else {stem.name: results}
    )
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(markdown(config, results) + "\n" + comparison_table(studies), encoding="utf-8")
    panels = {}
    for figure in FIGURES:
        lines = {VARIANTS[name].title: _line(results.values, name, figure) for name in results.variants()}
        teacher = results.values(TEACHER, TEACHER_STEPS, figure)
        panels[figure.title] = (lines, {"teacher": interval(teacher)[0]} if teacher else {})
    plot_lines(panels, stem.with_suffix(".png"))


def _row_keys(config: StudyConfig) -> str:
    return row_key(config, TEACHER)


def _named() -> list[StudyConfig]:
    return [PRESETS[name] for name in NAMED_TEACHERS]


def _line(values: Callable[[str, int, Figure], list[float]], name: str, figure: Figure) -> list[tuple[float, float, float]]:
    points = []
    for steps in STUDENT_STEPS:
        mean, half = interval(values(name, steps, figure))
        points.append((float(steps), mean, 0.0 if half == float("inf") else half))
    return points
