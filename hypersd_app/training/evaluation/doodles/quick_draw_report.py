"""`evaluate quick-draw`: does the one-step student follow real people's drawings, and still draw what they are of?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.data.thumbnails import framed
from hypersd_app.training.evaluation.doodles.drawing import Doodle
from hypersd_app.training.evaluation.doodles.metrics import LineFollowing
from hypersd_app.training.evaluation.doodles.report import Images, SketchedStudent, controls_of, interval, shifted
from hypersd_app.training.evaluation.features import judge_of
from hypersd_app.training.workspace import Workspace

SHOWN = 48  # drawings on the sheet


@dataclass(frozen=True)
class Followed:
    """Figures of each word, over its drawings, float64 (W,): R@1 among 100 of the words, and lines followed beyond chance.

    NaN where no drawing of a word has such lines.
    """

    recall: NDArray[np.float64]
    outline: NDArray[np.float64]
    inner: NDArray[np.float64]


@dataclass(frozen=True)
class QuickDrawReport:
    """Rows by name, how many drawings of how many words, and what was drawn from them."""

    rows: Mapping[str, Followed]
    drawings: int
    words: int
    images: Images


def measure(workspace: Workspace, doodles: Sequence[Doodle], seed: int = 0) -> QuickDrawReport:
    """Draw each doodle in one step, with it and without. Raises ModelUnavailable without student, ControlNet or judge."""
    student, judge = SketchedStudent(workspace), judge_of(workspace)
    prompts, controls = [doodle.prompt for doodle in doodles], controls_of(doodles)
    words = list(dict.fromkeys(prompts))

    def followed(images: Images, drawn: Sequence[Doodle]) -> Followed:
        seen = np.stack([framed(image) for image in images])
        lines = [LineFollowing.measure(image, doodle) for image, doodle in zip(images, drawn, strict=True)]
        return Followed(
            by_word(judge.chances(seen, prompts, words), prompts),
            by_word(np.array([line.outline for line in lines]), prompts),
            by_word(np.array([line.inner for line in lines]), prompts),
        )

    images = student.draw(prompts, controls, 1.0, seed)
    rows = {
        "with the drawing": followed(images, doodles),
        "without it": followed(student.draw(prompts, controls, 0.0, seed), doodles),
        "with the drawing, against another one": followed(images, shifted(doodles)),
    }
    return QuickDrawReport(rows, len(doodles), len(words), images)


def by_word(values: NDArray[np.float64], prompts: Sequence[str]) -> NDArray[np.float64]:
    """The mean of each word in order of appearance, leaving out NaN: drawings of one word are not independent."""
    rows: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        rows.setdefault(prompt, []).extend([] if np.isnan(value) else [float(value)])
    return np.array([np.mean(found) if found else np.nan for found in rows.values()])


def markdown(report: QuickDrawReport) -> str:
    """The table."""
    lines = [
        f"{report.drawings} drawings of {report.words} words, one step, ± 95 % over words. Lines: the share with an edge of the"
        " image within 2 px, corrected for chance.",
        "",
        "| image | R@1 of the word among 100 | outlines followed | lines inside |",
        "|---|---|---|---|",
    ]
    for name, row in report.rows.items():
        values = (row.recall, row.outline, row.inner)
        lines.append(f"| {name} | {' | '.join(interval(value[~np.isnan(value)]) for value in values)} |")
    return "\n".join([*lines, ""])


def write(report: QuickDrawReport, doodles: Sequence[Doodle], output: Path) -> None:
    """Leave `quick-draw.md`, and `quick-draw.png` with some drawings and what became of them."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "quick-draw.md").write_text(markdown(report), encoding="utf-8")
    some = np.linspace(0, len(doodles) - 1, min(SHOWN, len(doodles))).astype(int)
    pairs = [image for row in some for image in (255 - doodles[row].control(), report.images[row])]
    contact_sheet(pairs, output / "quick-draw.png", 12, [text for row in some for text in (doodles[row].prompt, "")], side=110)
