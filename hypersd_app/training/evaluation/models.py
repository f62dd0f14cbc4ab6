"""Models under evaluation: teacher and students as functions from prompts to latents, cached on disk between runs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from hypersd_app.catalog.builtin import ACCELERATOR, POCKET_GUIDANCE
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.distillation.train import FewStepSampler
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import Workspace

logger = logging.getLogger(__name__)

TEACHER_STEPS = 25
STUDENT_STEPS = (1, 2, 4, 8)
Draw = Callable[[list[str], int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A named way to turn prompts into latents: (prompts, seed) -> float32 (B, C, H, W); image i has the noise of seed + i.

    `stamp` changes with the weights. `unet` is what it runs, `steps` how often. `guidance_scale` is the teacher's own, or
    of the teacher that a student was distilled from.
    """

    name: str
    steps: int
    draw: Draw
    stamp: str
    unet: Any = None
    guidance_scale: float = POCKET_GUIDANCE

    @property
    def file_name(self) -> str:
        """The name in plain letters."""
        return self.name.replace(",", "").replace(" ", "-").replace(":", "")


def new_sampler(workspace: Workspace) -> Sampler:
    """The sampler of a workspace's images."""
    return Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))


def teacher_model(workspace: Workspace, sampler: Sampler, steps: int = TEACHER_STEPS, guidance: float = POCKET_GUIDANCE) -> Model:
    """The teacher with guidance."""
    unet = workspace.teacher().eval()
    path = workspace.weights("teacher", "unet", "unet")
    return Model(
        name=f"teacher, {steps} steps",
        steps=steps,
        draw=lambda prompts, seed: sampler.latents(unet, prompts, steps, guidance, seed),
        stamp=stamp(path),
        unet=unet,
        guidance_scale=guidance,
    )


def student_models(
    workspace: Workspace, sampler: Sampler, accelerator: Path, name: str = "student", steps: Sequence[int] = STUDENT_STEPS
) -> list[Model]:
    """A student at several numbers of steps; one that starts at a timestep of its own at one."""
    unet, few = workspace.teacher().eval(), FewStepSampler(sampler)
    fuse_lora(unet, accelerator)
    with safe_open(accelerator, "pt") as file:
        metadata = file.metadata() or {}
    timestep, guidance = int(metadata.get("timestep", -1)), float(metadata.get("guidance_scale", POCKET_GUIDANCE))

    def draw(count: int) -> Draw:
        return lambda prompts, seed: few.latents(unet, prompts, count, seed, timestep=timestep)

    marked = stamp(workspace.weights("teacher", "unet", "unet")) + stamp(accelerator)
    return [
        Model(
            name=f"{name}, {count} step{'s'[: count > 1]}",
            steps=count,
            draw=draw(count),
            stamp=marked,
            unet=unet,
            guidance_scale=guidance,
        )
        for count in (steps if timestep < 0 else (1,))
    ]


def load_models(workspace: Workspace, sampler: Sampler, students: Sequence[str] = ()) -> list[Model]:
    """The teacher and the student, or the named student runs. Raises ModelUnavailable for one that is not there."""
    models = [teacher_model(workspace, sampler)]
    if not students:
        newest = workspace.accelerator()
        return models + student_models(workspace, sampler, newest)
    for name in students:
        path = workspace.run("student", name) / ACCELERATOR
        if not path.exists():
            raise ModelUnavailable(f"No student in {path.parent}: run `train student --preset {name}` first.")
        models += student_models(workspace, sampler, path, name)
    return models


def stamp(path: Path) -> str:
    """A short text that changes when a file, or one in a folder, does."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    rows = [f"{file.name}{file.stat().st_size}{file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("".join(rows).encode()).hexdigest()[:12]


class LatentCache:
    """Sampled latents on disk: the same command resumes, and a model that was evaluated before is not sampled again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remembered(self, model: Model) -> Model:
        """The same model, sampling only what isn't cached."""
        return replace(model, draw=lambda prompts, seed: self._draw(model, prompts, seed))

    def _draw(self, model: Model, prompts: list[str], seed: int) -> Tensor:
        text = "\n".join([model.stamp, model.name, str(seed), *prompts])
        path = self.folder / f"{model.file_name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
        if path.exists():
            return torch.from_numpy(np.load(path).astype(np.float32))
        logger.info("%s draws %d images", model.name, len(prompts))
        latents = model.draw(prompts, seed).float()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, latents.numpy().astype(np.float16))
        partial.replace(path)
        return latents
