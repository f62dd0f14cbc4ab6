"""`evaluate doodles`: does the one-step student follow drawings it was never trained on, and still draw what is asked?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.samplers import sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.control_image import control_tensor
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.layout import LATENT_SHAPE
from hypersd_app.models.pocket import new_scheduler, with_code_of
from hypersd_app.training.controlnet.train import controlled, newest_controlnet
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import memory_format, mixed_precision
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.critics.frozen import judge_file
from hypersd_app.training.critics.text_image import Judge
from hypersd_app.training.data.scribbles import BLACK
from hypersd_app.training.data.thumbnails import framed
from hypersd_app.training.data.words.concepts import Concept
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.evaluation.doodles.drawing import Doodle, read_doodles
from hypersd_app.training.evaluation.doodles.metrics import colour_agreement, edge_recall, silhouette_overlap
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import Workspace

Images = NDArray[np.uint8]  # (N, 256, 256, 3)
SCALES = (0.0, 0.5, 1.0, 1.5)
TRIES = 3  # images of a doodle whose words are judged: one is found or not, which says little of sixty
ELSEWHERE = 23  # how far a doodle's partner stands in the list: another thing in another place
CHUNK = 20


class SketchedStudent:
    """The accelerated UNet under the newest ControlNet, one step an image, as the drawing board runs them.

    `styles` are LoRA files with weights.
    """

    def __init__(self, workspace: Workspace, styles: Sequence[tuple[Path, float]] = ()) -> None:
        self.unet = workspace.teacher().eval()
        fuse_lora(self.unet, workspace.accelerator())
        for path, weight in styles:
            fuse_lora(self.unet, path, weight)
        controlnet = PocketControlNet.from_pretrained(newest_controlnet(workspace))
        self.controlnet = controlnet.float().to(memory_format=memory_format()).eval()
        self.schedule = NoiseSchedule.from_scheduler(new_scheduler())
        self.sampler = Sampler(workspace.embed, workspace.autoencoder, self.schedule)

    @torch.no_grad()
    def draw(self, prompts: Sequence[str], controls: Images, scale: float, seed: int) -> Images:
        """An image for each prompt and control image; image i starts from the noise of seed + i, whatever the scale."""
        steps, generator = trailing_timesteps(self.schedule.num_timesteps, 1), torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, len(prompts), CHUNK):
            text = self.sampler.embed(list(prompts[start : start + CHUNK]))
            control = control_tensor(torch.from_numpy(np.stack(list(controls[start : start + CHUNK]))))
            noise = seeded_noise(range(seed + start, seed + start + len(text)), LATENT_SHAPE)
            text = with_code_of(self.unet, text, noise)
            model = controlled(self.unet, self.controlnet, control, scale) if scale else self._uncontrolled
            with mixed_precision():
                parts.append(sample_tcd(guided(model, text, text, 0.0), noise, steps, self.schedule, 0.0, generator))
        return self.sampler.decode(torch.cat(parts))

    def _uncontrolled(self, x: Tensor, t: Tensor, embeddings: Tensor) -> Tensor:
        return self.unet(x, t, embeddings, return_dict=False)[0]


@dataclass(frozen=True)
class Follow:
    """How well images follow their drawings, per image: line recall and silhouette IoU."""

    recall: NDArray[np.float64]
    overlap: NDArray[np.float64]

    @staticmethod
    def measure(images: Images, doodles: Sequence[Doodle]) -> Follow:
        """Compare image i with doodle i."""
        pairs = list(zip(images, doodles, strict=True))
        return Follow(np.array([edge_recall(*pair) for pair in pairs]), np.array([silhouette_overlap(*pair) for pair in pairs]))


@dataclass(frozen=True)
class DoodleReport:
    """All figures of one run, and the images at each scale for the sheets."""

    follow: Mapping[str, Follow]
    colours: Mapping[str, float]
    recall_at_1: Mapping[str, float]  # empty without a judge
    images: Mapping[float, Images]


def shifted(items: Sequence[Doodle]) -> list[Doodle]:
    """For each doodle, a drawing of another thing."""
    return [items[(index + ELSEWHERE) % len(items)] for index in range(len(items))]


def recoloured(doodle: Doodle, change: Callable[[tuple[int, int, int]], tuple[int, int, int]]) -> Doodle:
    """The doodle with every coloured ink changed."""
    strokes = tuple(stroke if stroke.ink == BLACK else replace(stroke, ink=change(stroke.ink)) for stroke in doodle.strokes)
    return replace(doodle, strokes=strokes)


def controls_of(doodles: Sequence[Doodle]) -> Images:
    """Their control images."""
    return np.stack([doodle.control() for doodle in doodles])


def measure(workspace: Workspace, seed: int = 0, doodles: Sequence[Doodle] = (), scales: Sequence[float] = SCALES) -> DoodleReport:
    """Draw and measure everything. Raises ModelUnavailable without student or ControlNet."""
    doodles = doodles or read_doodles()
    student, prompts, controls = SketchedStudent(workspace), [doodle.prompt for doodle in doodles], controls_of(doodles)
    images = {scale: student.draw(prompts, controls, scale, seed) for scale in scales}
    follow = {f"scale {scale:g}": Follow.measure(drawn, doodles) for scale, drawn in images.items()}
    wrong_words = student.draw([doodle.prompt for doodle in shifted(doodles)], controls, 1.0, seed)
    follow["scale 1, another doodle's words"] = Follow.measure(wrong_words, doodles)
    follow["scale 1, against another doodle (chance)"] = Follow.measure(images[1.0], shifted(doodles))
    words: dict[str, float] = {}
    if recall := word_judge(workspace, prompts * TRIES):
        for name, scale in (("without", 0.0), ("with", 1.0)):
            more = [student.draw(prompts, controls, scale, seed + trial * len(prompts)) for trial in range(1, TRIES)]
            words[name] = recall(np.concatenate([images[scale], *more]))
    return DoodleReport(follow, colours(student, doodles, images[1.0], seed), words, images)


def colours(student: SketchedStudent, doodles: Sequence[Doodle], drawn: Images, seed: int) -> dict[str, float]:
    """Agreement with the ink's colour: for the doodles' own inks, exchanged ones, and black ones as a floor."""
    chosen = [index for index, doodle in enumerate(doodles) if doodle.coloured]
    if not chosen:
        return {}
    own = [doodles[index] for index in chosen]
    prompts = [doodle.prompt for doodle in own]
    turned = [recoloured(doodle, lambda ink: (ink[1], ink[2], ink[0])) for doodle in own]
    black = controls_of([recoloured(doodle, lambda ink: BLACK) for doodle in own])
    without = student.draw(prompts, black, 1.0, seed)
    return {
        "the doodles' own inks": mean_agreement(drawn[chosen], own),
        "other inks": mean_agreement(student.draw(prompts, controls_of(turned), 1.0, seed), turned),
        "black ink, against their own (floor)": mean_agreement(without, own),
        "black ink, against the others (floor)": mean_agreement(without, turned),
    }


def mean_agreement(images: Images, doodles: Sequence[Doodle]) -> float:
    """The mean over images."""
    return float(np.mean([colour_agreement(image, doodle) for image, doodle in zip(images, doodles, strict=True)]))


def word_judge(workspace: Workspace, prompts: Sequence[str]) -> Callable[[Images], float] | None:
    """R@1 among 100 captions of images drawn from `prompts`, each framed alike.

    None without a judge, or with too few things to mistake them for.
    """
    try:
        path = judge_file(workspace, "judge")
        others = distractors(workspace.data.concepts, prompts)
    except ModelUnavailable:
        return None
    if len(others) < 100:
        return None
    judge = Judge(path, workspace.embed)
    return lambda images: judge.recall(np.stack([framed(image) for image in images]), prompts, others)


def distractors(concepts: Sequence[Concept], prompts: Sequence[str]) -> list[str]:
    """Captions that are wrong for all but one prompt: the prompts, and trained things that share no word with any."""
    known = {word for prompt in prompts for word in prompt.split()}
    names = dict.fromkeys(concept.names[0] for concept in concepts if not concept.held_out)
    return [*dict.fromkeys(prompts), *(with_article(name) for name in names if not known & set(name.split()))]


def interval(values: NDArray[np.float64]) -> str:
    """Mean with its 95 % interval over images."""
    return f"{values.mean():.3f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.3f}"


def markdown(report: DoodleReport) -> str:
    """The tables."""
    lines = ["| sketch | lines with an edge within 4 px | overlap of silhouettes |", "|---|---|---|"]
    lines += [f"| {name} | {interval(row.recall)} | {interval(row.overlap)} |" for name, row in report.follow.items()]
    if report.colours:
        lines += ["", "| ink at scale 1 | strokes whose surroundings have their hue |", "|---|---|"]
        lines += [f"| {name} | {100 * value:.0f} % |" for name, value in report.colours.items()]
    if report.recall_at_1:
        lines += ["", "| R@1 among 100 captions | |", "|---|---|"]
        lines += [f"| {name} the sketch | {100 * value:.1f} % |" for name, value in report.recall_at_1.items()]
    return "\n".join([*lines, ""])


def write(report: DoodleReport, output: Path, doodles: Sequence[Doodle] = ()) -> None:
    """Leave `doodles.md`, `doodles.png` (each drawing beside its image) and `doodles-scale.png` (six over all scales)."""
    doodles = doodles or read_doodles()
    output.mkdir(parents=True, exist_ok=True)
    (output / "doodles.md").write_text(markdown(report), encoding="utf-8")
    drawings = [255 - doodle.control() for doodle in doodles]  # the negative's negative: ink on paper
    pairs = [image for pair in zip(drawings, report.images[1.0], strict=True) for image in pair]
    labels = [text for doodle in doodles for text in (doodle.prompt, "")]
    contact_sheet(pairs, output / "doodles.png", columns=12, labels=labels, side=110)
    some = range(0, len(doodles), max(1, len(doodles) // 6))
    rows = [image for i in some for image in (drawings[i], *_at_all_scales(report, i))]
    names = [text for i in some for text in (doodles[i].prompt, *(f"scale {scale:g}" for scale in report.images))]
    contact_sheet(rows, output / "doodles-scale.png", 1 + len(report.images), names, side=120)


def _at_all_scales(report: DoodleReport, index: int) -> list[NDArray[np.uint8]]:
    return [drawn[index] for drawn in report.images.values()]
