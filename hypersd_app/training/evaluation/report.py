"""All metrics of one evaluation, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.pocket import with_code_of
from hypersd_app.training.critics.text_image import Judge
from hypersd_app.training.data.latents import encode
from hypersd_app.training.data.thumbnails import shrink, thumbnails
from hypersd_app.training.evaluation.cases import (
    DIVERSITY_PROMPTS,
    DIVERSITY_SEEDS,
    Cases,
    EvaluationImages,
    held_out_cases,
    trained_cases,
)
from hypersd_app.training.evaluation.colour import Drift, drift
from hypersd_app.training.evaluation.distances import diversity, frechet, kernel_distance, nearest, precision_recall, wilson
from hypersd_app.training.evaluation.features import Spaces, judge_of
from hypersd_app.training.evaluation.models import Model
from hypersd_app.training.evaluation.plots import Panels, plot_lines
from hypersd_app.training.evaluation.sheets import write_nearest
from hypersd_app.training.evaluation.surface import Surface
from hypersd_app.training.evaluation.trajectory import trajectory_errors
from hypersd_app.training.evaluation.variety import VarietyCases
from hypersd_app.training.pocket.teacher import CANDIDATES, Sampler, with_nearest_layouts
from hypersd_app.training.workspace import Workspace

Images = NDArray[np.uint8]
TRAJECTORIES = 24  # images whose trajectories are followed
NEAREST_SHOWN = 18
NEAREST_SIDE = 32  # px, of the copies that training images are searched in


@dataclass(frozen=True)
class SpaceFigures:
    """Distances to real images in one feature space."""

    frechet: float
    kernel: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Row:
    """One source of images. R@1 values are (share, low, high); what a source cannot have is None."""

    name: str
    steps: int
    recall_at_1: tuple[float, float, float]
    held_out_recall_at_1: tuple[float, float, float] | None
    spaces: Mapping[str, SpaceFigures]
    diversity: Mapping[str, float] = field(default_factory=dict)
    drift: Drift | None = None
    nearest: float | None = None
    surface: Surface | None = None
    variance: tuple[float, float] | None = None  # between seeds: no style named, one named
    trajectory: Mapping[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Rows in order: floors, teacher, students; and the nearest training images of the last model with fewest steps."""

    rows: tuple[Row, ...]
    images: int
    pairs: tuple[tuple[Images, Images, str], ...] = field(repr=False)

    @property
    def teacher(self) -> Row:
        """What students are compared with."""
        return next(row for row in self.rows if row.name.startswith("teacher"))


class Bench:
    """Judges, cases and real images, the same for every model."""

    def __init__(self, workspace: Workspace, sampler: Sampler, count: int, seed: int) -> None:
        self.workspace, self.sampler, self.seed = workspace, sampler, seed
        images = EvaluationImages.of(workspace)
        self.images, self.data = images.data.images, images.data
        self.several = VarietyCases.of(images, seed)
        self.judge: Judge = judge_of(workspace)
        self.known, self.unknown = trained_cases(images, count, seed), held_out_cases(images, seed)
        self.real = self.images[self.known.others]
        self.spaces = Spaces.of(workspace, self.judge, self.real)
        self.reference = self.spaces(self.real)
        rng = np.random.default_rng(seed)
        picked = rng.permutation(len(self.known.prompts))[:DIVERSITY_PROMPTS]
        self.diverse = [self.known.prompts[i] for i in picked for _ in range(DIVERSITY_SEEDS)]
        self.training = TrainingCopies(workspace)

    def recall(self, images: Images, cases: Cases) -> tuple[float, float, float]:
        """R@1 among 100 captions of the same kind."""
        return wilson(self.judge.hits(images, cases.captions, cases.captions, self.seed))

    def distances(self, images: Images) -> dict[str, SpaceFigures]:
        """To the real images that no caption asked for."""
        found = {}
        for name, made in self.spaces(images).items():
            real = self.reference[name]
            found[name] = SpaceFigures(frechet(made, real), kernel_distance(made, real), *precision_recall(real, made))
        return found

    def floors(self) -> list[Row]:
        """Real images as they are and through the autoencoder: the best that is possible, and the best with these latents."""
        rows: list[Row] = []
        shown, hidden = self.data.rgba[self.known.shown], self.data.rgba[self.unknown.shown]
        for name, change in (("real images", lambda x: x[..., :3]), ("real, autoencoded", self._autoencoded)):
            held_out = self.recall(change(hidden), self.unknown) if len(hidden) else None
            images = change(shown)
            rows.append(
                Row(
                    name,
                    0,
                    self.recall(images, self.known),
                    held_out,
                    self.distances(images),
                    nearest=self.training.distance(images),
                    surface=Surface.of(images),
                    variance=self.several.real(self.data) if len(rows) == 0 else None,
                )
            )
        return rows

    def _autoencoded(self, rgba: NDArray[np.uint8]) -> Images:
        return self.sampler.decode(self._encoded(rgba))

    def _encoded(self, rgba: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(encode(self.workspace.autoencoder, rgba)).float()

    def variety(self, model: Model) -> dict[str, float]:
        """Mean distance between images of one prompt, by space."""
        images = self.sampler.decode(model.draw(self.diverse, self.seed + 10_000))
        groups = {name: rows.reshape(-1, DIVERSITY_SEEDS, rows.shape[1]) for name, rows in self.spaces(images).items()}
        return {name: diversity(rows) for name, rows in groups.items()}

    def seed_variance(self, model: Model) -> tuple[float, float]:
        """The variance between images of one prompt: with no style named, and with one."""
        return self.several.made(lambda prompts, first: self.sampler.decode(model.draw(prompts, first)), self.seed + 20_000)

    def trajectory(self, model: Model, teacher: Model) -> Mapping[int, list[float]]:
        """Errors of a student's jumps, against the teacher at the guidance it was distilled with; see `trajectory_errors`."""
        embed = self.workspace.embed
        x0 = self._encoded(self.data.rgba[self.known.shown[:TRAJECTORIES]])
        text, empty = embed(self.known.captions[:TRAJECTORIES]), with_code_of(teacher.unet, embed([""] * len(x0)), None)
        codes = torch.Generator().manual_seed(self.seed)
        text = with_nearest_layouts(self.workspace.prior(), text, x0, torch.ones(len(x0), dtype=torch.bool), CANDIDATES, codes)
        guidance, schedule = model.guidance_scale, self.sampler.schedule
        return trajectory_errors(model.unet, teacher.unet, x0, text, empty, guidance, schedule, self.seed)


class TrainingCopies:
    """Thumbnails of all training images, to detect memorization."""

    def __init__(self, workspace: Workspace) -> None:
        self.indices = workspace.data.indices(False)
        known = thumbnails(workspace.data)
        self._copies = np.concatenate([_halved(known[self.indices[i : i + 512]]) for i in range(0, len(self.indices), 512)])

    def find(self, images: Images) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """The nearest training image of each and how far it is: root mean square difference of pixels, of 255."""
        made = _halved(shrink(images)).reshape(len(images), -1).astype(np.float32)
        known = self._copies.reshape(len(self._copies), -1).astype(np.float32)
        places, distances = nearest(made, known)
        return self.indices[places], distances / made.shape[1] ** 0.5

    def distance(self, images: Images) -> float:
        """The median distance to the nearest training image."""
        return float(np.median(self.find(images)[1]))


def _halved(small: Images) -> Images:
    """(N, 64, 64, 3) to (N, 32, 32, 3): every pixel the mean of four."""
    count, side = len(small), NEAREST_SIDE
    return small.reshape(count, side, 2, side, 2, 3).mean((2, 4), dtype=np.float32).round().astype(np.uint8)


@torch.no_grad()
def measure(models: Sequence[Model], workspace: Workspace, sampler: Sampler, count: int, seed: int) -> Report:
    """Measure floors and models. The first model is the teacher. Raises ModelUnavailable without judge or style judge."""
    bench = Bench(workspace, sampler, count, seed)
    teacher = models[0]
    teacher_latents: Tensor | None = None
    teacher_images: Images | None = None
    rows = bench.floors()
    pairs: list[tuple[Images, Images, str]] = []
    followed: dict[int, Mapping[int, list[float]]] = {id(teacher.unet): {}}  # jumps do not depend on the number of steps
    for model in models:
        latents = model.draw(bench.known.prompts, seed)
        images = sampler.decode(latents)
        if teacher_latents is None or teacher_images is None:
            teacher_latents, teacher_images = latents, images
        places, distances = bench.training.find(images)
        if id(model.unet) not in followed:
            followed[id(model.unet)] = bench.trajectory(model, teacher)
        hidden = sampler.decode(model.draw(bench.unknown.prompts, seed + 5000)) if bench.unknown.prompts else None
        rows.append(
            Row(
                model.name,
                model.steps,
                bench.recall(images, bench.known),
                None if hidden is None else bench.recall(hidden, bench.unknown),
                bench.distances(images),
                bench.variety(model),
                drift(latents, images, teacher_latents, teacher_images),
                float(np.median(distances)),
                Surface.of(images),
                bench.seed_variance(model),
                followed[id(model.unet)],
            )
        )
        if model.steps == 1 or not pairs:
            closest = np.argsort(distances)[:NEAREST_SHOWN]
            pairs = [(images[i], workspace.data.images[places[i]], bench.known.captions[i]) for i in closest]
    return Report(tuple(rows), len(bench.known.prompts), tuple(pairs))


def markdown(report: Report) -> str:
    """The tables."""
    teacher, spaces = report.teacher, list(report.rows[0].spaces)
    head = ["images by", "R@1", "held-out things", "of the teacher's R@1"]
    for name in spaces:
        head += [f"Fréchet ({name})", "of the teacher's", f"KID x1000 ({name})", f"precision / recall ({name})"]
    head += [f"diversity of the teacher's ({name})" for name in spaces]
    lines = _table(head)
    for row in report.rows:
        cells = [
            row.name,
            _share(row.recall_at_1),
            _share(row.held_out_recall_at_1),
            _ratio(row.recall_at_1[0], teacher.recall_at_1[0]),
        ]
        for name in spaces:
            found, wanted = row.spaces[name], teacher.spaces[name]
            cells += [f"{found.frechet:.2f}", f"{found.frechet / max(wanted.frechet, 1e-9):.2f}x", f"{1000 * found.kernel:.2f}"]
            cells.append(f"{found.precision:.2f} / {found.recall:.2f}")
        for name in spaces:
            cells.append(_ratio(row.diversity[name], teacher.diversity[name]) if row.diversity else "–")
        lines.append(_line(cells))
    lines += [
        "",
        *_appearance(report),
        "",
        *_table(
            ["images by", "shift of latent means", "spread of latents", "brightness", "white border", "nearest training image"]
        ),
    ]
    for row in report.rows:
        drift = row.drift
        cells = (
            ["–"] * 4
            if drift is None
            else [f"{drift.mean:.3f}", f"{drift.spread:.3f}", f"{drift.brightness:+.1f}", f"{100 * drift.white:.1f} %"]
        )
        lines.append(_line([row.name, *cells, "–" if row.nearest is None else f"{row.nearest:.1f}"]))
    lines += ["", *_table(["student", "segments", "error of each segment, the noisiest first"])]
    # The number of steps changes nothing of a jump: one row of each student will do.
    for row in {row.name.partition(",")[0]: row for row in report.rows if row.trajectory}.values():
        for count, errors in row.trajectory.items():
            lines.append(_line([row.name.partition(",")[0], str(count), ", ".join(f"{error:.3f}" for error in errors)]))
    note = (
        f"\n{report.images} images a row; R@1 among 100 captions with 95 % intervals. `what` is the judge's feature space,"
        " `how` the style judge's, both scaled to unit variance of real images. Distances are to other real images than the"
        " captions are of.\n"
    )
    return "\n".join([*lines, note])


def _appearance(report: Report) -> list[str]:
    """How flat areas and how crisp edges are, and how much images of one prompt differ, beside real ones."""
    real = report.rows[0]
    lines = _table(
        [
            "images by",
            "flat pixels inside the drawing",
            "10-90 % edge width, px",
            "variance between seeds, no style named",
            "one style named",
        ]
    )
    for row in report.rows:
        surface = (
            ["–", "–"]
            if row.surface is None or real.surface is None
            else [
                f"{100 * row.surface.flat:.1f} % ({_ratio(row.surface.flat, real.surface.flat)} of real)",
                f"{row.surface.edge_width:.2f} ({row.surface.edge_width / real.surface.edge_width:.2f}x)",
            ]
        )
        varied = (
            ["–", "–"]
            if row.variance is None or real.variance is None
            else [f"{_ratio(value, wanted)} of real" for value, wanted in zip(row.variance, real.variance, strict=True)]
        )
        lines.append(_line([row.name, *surface, *varied]))
    return lines


def _table(head: list[str]) -> list[str]:
    return [_line(head), "|---" * len(head) + "|"]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(value: tuple[float, float, float] | None) -> str:
    return "–" if value is None else f"{100 * value[0]:.1f} % ({100 * value[1]:.0f}–{100 * value[2]:.0f})"


def _ratio(value: float, wanted: float) -> str:
    return f"{100 * value / max(wanted, 1e-9):.1f} %"


def panels(report: Report) -> Panels:
    """R@1, Fréchet distances and diversity of every student over its steps; teacher and real images are marks."""
    spaces = list(report.rows[0].spaces)
    values: dict[str, Callable[[Row], float]] = {"R@1": lambda row: row.recall_at_1[0]}
    for name in spaces:
        values[f"Fréchet distance ({name})"] = lambda row, name=name: row.spaces[name].frechet  # type: ignore[misc]
    for name in spaces:
        values[f"diversity ({name})"] = lambda row, name=name: row.diversity.get(name, float("nan"))  # type: ignore[misc]
    students = [row for row in report.rows if row.steps and not row.name.startswith("teacher")]
    found = {}
    for title, value in values.items():
        lines: dict[str, list[tuple[float, float, float]]] = {}
        for row in students:
            lines.setdefault(row.name.partition(",")[0], []).append((row.steps, value(row), 0.0))
        found[title] = (lines, {row.name: value(row) for row in report.rows if row not in students})
    return found


def write(report: Report, output: Path) -> None:
    """Leave `figures.md`, `figures.png` and `nearest.png`."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "figures.md").write_text(markdown(report), encoding="utf-8")
    plot_lines(panels(report), output / "figures.png", panel_size=(4, 3.4))
    write_nearest(report.pairs, output / "nearest.png")
