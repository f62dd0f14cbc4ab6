"""Evaluation: contact sheets for the eye, and how often a picture finds its own caption among a hundred."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.distill.data.dataset import PictureData
from hypersd_app.distill.judge import Judge
from hypersd_app.distill.lora import fuse_lora
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.prompts import EVALUATION_PROMPTS
from hypersd_app.distill.student import FewStepSampler
from hypersd_app.distill.teacher import Sampler
from hypersd_app.distill.workspace import Workspace
from hypersd_app.models.pocket import new_scheduler

TEACHER_STEPS = 25
TEACHER_GUIDANCE = 4.0
_UNSEEN_PHRASES = ("a sticker of {}", "draw {}", "an icon that shows {}", "{} please", "one picture with {}")


@dataclass(frozen=True)
class Generator:
    """A named way to turn prompts into pictures: (prompts, seed) -> uint8 (B, 256, 256, 3)."""

    name: str
    draw: Callable[[list[str], int], NDArray[np.uint8]]


def load_models(workspace: Workspace) -> list[Generator]:
    """The teacher and, if there is an accelerator, the student at 1, 2, 4 and 8 steps."""
    schedule = NoiseSchedule.from_scheduler(new_scheduler())
    sampler = Sampler(workspace.embed, workspace.autoencoder, schedule)
    teacher = workspace.teacher().eval()
    models = [
        Generator(
            f"teacher, {TEACHER_STEPS} steps",
            lambda prompts, seed: sampler.decode(sampler.latents(teacher, prompts, TEACHER_STEPS, TEACHER_GUIDANCE, seed)),
        )
    ]
    accelerator = workspace.weights("student", "accelerator.safetensors", "accelerator.safetensors")
    student = workspace.teacher().eval()
    fuse_lora(student, accelerator)
    few = FewStepSampler(sampler)
    for steps in (1, 2, 4, 8):
        models.append(Generator(f"student, {steps} step{'s'[: steps > 1]}", _few_steps(few, student, steps)))
    return models


def _few_steps(few: FewStepSampler, unet: UNet2DConditionModel, steps: int) -> Callable[[list[str], int], NDArray[np.uint8]]:
    return lambda prompts, seed: few.sampler.decode(few.latents(unet, prompts, steps, seed))


def write_sheets(models: Sequence[Generator], output: Path, seed: int) -> None:
    """One sheet of the 48 prompts for each model, same seeds throughout."""
    prompts = list(EVALUATION_PROMPTS)
    for model in models:
        name = model.name.replace(",", "").replace(" ", "-")
        contact_sheet(list(model.draw(prompts, seed)), output / f"{name}.png", labels=prompts, side=150)


@dataclass(frozen=True)
class RecallRow:
    """R@1 among 100 captions of one source of pictures, over trained concepts and over held-out ones."""

    name: str
    trained: float
    held_out: float


def _test_captions(data: PictureData, held_out_concepts: bool, count: int, seed: int) -> tuple[NDArray[np.int64], list[str]]:
    """Pictures and captions never trained on: new compositions in new phrasings, or concepts that were held out."""
    rng = random.Random(f"{seed}:{held_out_concepts}")
    indices = []
    for index in data.indices(True):
        scene = data.scenes[index]
        unknown = any(data.concepts[item.concept].held_out for item in scene.placements)
        if unknown == held_out_concepts and (scene.kind == "single") == held_out_concepts:
            indices.append(int(index))
    chosen = sorted(rng.sample(indices, min(count, len(indices))))
    captions = [rng.choice(_UNSEEN_PHRASES).format(data.caption(index, seed, style=False)) for index in chosen]
    return np.asarray(chosen), captions


@torch.no_grad()
def recall_rows(models: Sequence[Generator], workspace: Workspace, count: int, seed: int) -> list[RecallRow]:
    """Measure real pictures first, then each model on the same captions. Raises ModelUnavailable without a judge."""
    data = workspace.data
    judge = Judge(workspace.weights("judge", "judge.safetensors", "judge.safetensors"), workspace.embed)
    sets = [_test_captions(data, held_out, count, seed) for held_out in (False, True)]
    distractors = [captions for _, captions in sets]

    def measure(name: str, draw: Callable[[int], NDArray[np.uint8]]) -> RecallRow:
        values = [judge.recall(draw(number), sets[number][1], distractors[number]) for number in (0, 1)]
        return RecallRow(name, *values)

    rows = [measure("real pictures", lambda number: data.pictures[sets[number][0]])]
    return rows + [measure(model.name, lambda number, model=model: model.draw(sets[number][1], seed)) for model in models]  # type: ignore[misc]


def recall_table(rows: Sequence[RecallRow]) -> str:
    """A Markdown table in percent."""
    head = "| pictures by | R@1, trained concepts in new compositions and phrasings | R@1, held-out concepts |\n|---|---|---|\n"
    return head + "".join(f"| {row.name} | {100 * row.trained:.1f} % | {100 * row.held_out:.1f} % |\n" for row in rows)
