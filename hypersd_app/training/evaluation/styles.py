"""`evaluate styles`: do the style LoRAs keep their look, their content and their sketch on top of the accelerator?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hypersd_app.catalog.builtin import POCKET_GUIDANCE
from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.critics.frozen import judge_file
from hypersd_app.training.critics.style import PRESETS, StyleJudge, labelled
from hypersd_app.training.data.latents import encode
from hypersd_app.training.evaluation.doodles.drawing import Doodle, read_doodles
from hypersd_app.training.evaluation.doodles.report import Follow, SketchedStudent, controls_of, word_judge
from hypersd_app.training.workspace import Workspace

Images = NDArray[np.uint8]  # (N, 256, 256, 3)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
TEACHER_STEPS = 10
MIXED_WEIGHT = 0.6
EACH = 3  # images of every prompt: with one, chance alone moves a score by a tenth
REAL_IMAGES = 40  # held-out drawings of each set that the judge is checked on


@dataclass(frozen=True, kw_only=True)
class StyleFigures:
    """One style. Scores are the style judge's mean probability; R@1 is None without a judge of words."""

    teacher: float
    teacher_without: float
    sweep: Mapping[float, float]  # the student's score at each weight
    changes: tuple[float, ...]  # mean change of a pixel, in parts of its range, between neighbouring weights
    recall_at_1: tuple[float, float] | None  # without and with the style, both at one step
    sketched: float  # score with style and sketch together
    follow: Follow


@dataclass(frozen=True, kw_only=True)
class StyleReport:
    """All figures of one run, and the images for the sheets."""

    real: Mapping[str, float]  # how often the judge is right on real, unseen drawings
    decoded: Mapping[str, float]  # the same after autoencoding, which softens them
    styles: Mapping[str, StyleFigures]
    unstyled: Follow  # sketches without a style, to compare `follow` with
    mixtures: Mapping[tuple[str, str], tuple[float, float]]
    sweeps: Mapping[str, Sequence[Images]] = field(repr=False)
    sketches: Mapping[str, Images] = field(repr=False)


def style_files(workspace: Workspace, known: Sequence[str]) -> dict[str, Path]:
    """The LoRA files of icon sets in the shipped folder. Raises ModelUnavailable if there are none."""
    found = {path.stem: path for path in sorted((workspace.assets / "styles").glob("*.safetensors")) if path.stem in known}
    if not found:
        raise ModelUnavailable(f"No styles in {workspace.assets / 'styles'}: run `train style --set blob` and others first.")
    return found


class StyleBench:
    """What every measurement needs: the judges, the prompts, the unstyled images. Every image has noise of its own."""

    def __init__(self, workspace: Workspace, doodles: Sequence[Doodle], seed: int) -> None:
        self.workspace, self.doodles, self.seed = workspace, doodles, seed
        self.judge = StyleJudge(judge_file(workspace, "style-judge"))
        self.prompts, self.controls = [doodle.prompt for doodle in doodles], controls_of(doodles)
        plain = SketchedStudent(workspace)
        self.plain = plain.draw(self.prompts, self.controls, 0.0, seed)
        self.plain_sketched = plain.draw(self.prompts, self.controls, 1.0, seed)
        self.sampler = plain.sampler
        self.teacher_plain = self.teacher(None)
        self.recall = word_judge(workspace, self.prompts)

    def teacher(self, path: Path | None) -> Images:
        """The teacher's images with a style at weight 1."""
        unet = self.workspace.teacher().eval()
        if path:
            fuse_lora(unet, path)
        return self.sampler.decode(self.sampler.latents(unet, self.prompts, TEACHER_STEPS, POCKET_GUIDANCE, self.seed))

    def student(self, styles: Sequence[tuple[Path, float]], scale: float = 0.0) -> Images:
        """The one-step student's images."""
        return SketchedStudent(self.workspace, styles).draw(self.prompts, self.controls, scale, self.seed)

    def measure(self, style: str, path: Path) -> tuple[StyleFigures, list[Images], Images]:
        """One style: its figures, the images at each weight and those with sketches."""
        sweep = [self.plain if weight == 0 else self.student([(path, weight)]) for weight in WEIGHTS]
        sketched = self.student([(path, 1.0)], scale=1.0)
        figures = StyleFigures(
            teacher=self.judge.score(self.teacher(path), style),
            teacher_without=self.judge.score(self.teacher_plain, style),
            sweep={weight: self.judge.score(images, style) for weight, images in zip(WEIGHTS, sweep, strict=True)},
            changes=tuple(change(a, b) for a, b in pairwise(sweep)),
            recall_at_1=(self.recall(sweep[0]), self.recall(sweep[-1])) if self.recall else None,
            sketched=self.judge.score(sketched, style),
            follow=Follow.measure(sketched, self.doodles),
        )
        return figures, sweep, sketched

    def mixture(self, one: tuple[str, Path], two: tuple[str, Path]) -> tuple[float, float]:
        """The scores of two styles in images that mix them."""
        images = self.student([(one[1], MIXED_WEIGHT), (two[1], MIXED_WEIGHT)])
        return self.judge.score(images, one[0]), self.judge.score(images, two[0])


def change(before: Images, after: Images) -> float:
    """Mean absolute difference in parts of the range of a pixel."""
    return float(np.abs(before.astype(np.float32) - after).mean() / 255)


def judge_check(workspace: Workspace, bench: StyleBench, family: str) -> tuple[dict[str, float], dict[str, float]]:
    """How often the judge names the set of real drawings it never saw, as they are and autoencoded."""
    images = labelled(PRESETS[family], workspace, held_out=True)
    real, decoded = {}, {}
    for style, rows in images.rows.items():
        stickers = images.stickers(rows[:: max(1, len(rows) // REAL_IMAGES)][:REAL_IMAGES])
        own = stickers[..., :3]
        place = bench.judge.styles.index(style)
        real[style] = float((bench.judge.probabilities(own).argmax(-1) == place).mean())
        again = bench.sampler.decode(torch.from_numpy(encode(workspace.autoencoder, stickers)).float())
        decoded[style] = float((bench.judge.probabilities(again).argmax(-1) == place).mean())
    return real, decoded


def measure(workspace: Workspace, seed: int = 0, doodles: Sequence[Doodle] = (), family: str = "pocket") -> StyleReport:
    """Draw and measure everything. Raises ModelUnavailable without styles, student, ControlNet or style judge."""
    bench = StyleBench(workspace, [*(doodles or read_doodles())] * EACH, seed)
    files = style_files(workspace, bench.judge.styles)
    real, decoded = judge_check(workspace, bench, family)
    measured = {style: bench.measure(style, path) for style, path in files.items()}
    names = list(files)
    pairs = list(pairwise(names))[::2]
    return StyleReport(
        real=real,
        decoded=decoded,
        styles={style: figures for style, (figures, _, _) in measured.items()},
        unstyled=Follow.measure(bench.plain_sketched, bench.doodles),
        mixtures={(one, two): bench.mixture((one, files[one]), (two, files[two])) for one, two in pairs},
        sweeps={style: sweep for style, (_, sweep, _) in measured.items()},
        sketches={"no style": bench.plain_sketched, **{style: sketched for style, (_, _, sketched) in measured.items()}},
    )


def markdown(report: StyleReport) -> str:
    """The tables."""
    lines = [
        "| style | teacher | teacher + LoRA | student + LoRA | of the teacher's | R@1 without | with | kept |",
        "|---" * 8 + "|",
    ]
    for style, row in report.styles.items():
        words = ["–", "–", "–"]
        if row.recall_at_1:
            before, after = row.recall_at_1
            words = [_percent(before), _percent(after), _percent(after / max(before, 1e-6))]
        scores = [f"{value:.3f}" for value in (row.teacher_without, row.teacher, row.sweep[1.0])]
        lines.append(f"| {' | '.join([style, *scores, _percent(row.sweep[1.0] / max(row.teacher, 1e-6)), *words])} |")
    lines += ["", f"| style's score at weight | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} | change of a pixel a quarter |"]
    lines += ["|---" * (len(WEIGHTS) + 2) + "|"]
    for style, row in report.styles.items():
        scores = [f"{value:.3f}" for value in row.sweep.values()]
        lines.append(f"| {' | '.join([style, *scores, ', '.join(f'{value:.3f}' for value in row.changes)])} |")
    lines += [
        "",
        "| style + sketch + accelerator | score | lines with an edge within 4 px | overlap of silhouettes |",
        "|---|---|---|---|",
    ]
    lines.append(f"| no style | – | {report.unstyled.recall.mean():.3f} | {report.unstyled.overlap.mean():.3f} |")
    for style, row in report.styles.items():
        lines.append(f"| {style} | {row.sketched:.3f} | {row.follow.recall.mean():.3f} | {row.follow.overlap.mean():.3f} |")
    if report.mixtures:
        lines += ["", f"| two styles at {MIXED_WEIGHT:g} each | score of the first | of the second |", "|---|---|---|"]
        lines += [f"| {one} and {two} | {a:.3f} | {b:.3f} |" for (one, two), (a, b) in report.mixtures.items()]
    lines += ["", "| the judge on real drawings of unseen things | as they are | autoencoded |", "|---|---|---|"]
    lines += [f"| {style} | {_percent(value)} | {_percent(report.decoded[style])} |" for style, value in report.real.items()]
    return "\n".join([*lines, ""])


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def write(report: StyleReport, output: Path, doodles: Sequence[Doodle] = ()) -> None:
    """Leave `styles.md`, `styles.png` (two prompts over the weights) and `styles-sketch.png` (drawings in every style)."""
    doodles = doodles or read_doodles()
    output.mkdir(parents=True, exist_ok=True)
    (output / "styles.md").write_text(markdown(report), encoding="utf-8")
    shown = (0, min(10, len(doodles) - 1))
    tiles = [images[index] for sweep in report.sweeps.values() for index in shown for images in sweep]
    names = [f"{style} {weight:g}" for style in report.sweeps for _ in shown for weight in WEIGHTS]
    contact_sheet(tiles, output / "styles.png", columns=2 * len(WEIGHTS), labels=names, side=120)
    rows = range(0, len(doodles), max(1, len(doodles) // 8))
    tiles = [tile for i in rows for tile in (255 - doodles[i].control(), *(drawn[i] for drawn in report.sketches.values()))]
    names = [name for i in rows for name in (doodles[i].prompt, *report.sketches)]
    contact_sheet(tiles, output / "styles-sketch.png", columns=1 + len(report.sketches), labels=names, side=120)
