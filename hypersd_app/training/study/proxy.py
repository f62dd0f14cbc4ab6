"""The proxy: a few dozen things in two styles, and a narrow teacher of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.layout import size_of
from hypersd_app.models.pocket import new_scheduler, new_unet
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import place
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage, steps_done
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.splits import EVALUATION, splits
from hypersd_app.training.distillation.pocket_source import PocketSource
from hypersd_app.training.evaluation.models import new_sampler
from hypersd_app.training.pocket.teacher import diffusion_loss, draw_timesteps
from hypersd_app.training.study.clock import Clock
from hypersd_app.training.study.config import StudyConfig
from hypersd_app.training.workspace import Workspace


@dataclass(frozen=True)
class Proxy:
    """The proxy's images: `training` may be drawn from, `asked` are for evaluation, with what is asked for each."""

    training: NDArray[np.int64]
    asked: NDArray[np.int64]
    captions: list[str]

    @staticmethod
    def of(config: StudyConfig, data: ImageDataset) -> Proxy:
        """Familiar things first, alone or re-coloured, in the config's sets."""
        by_name = sorted(range(len(data.concepts)), key=lambda i: (not data.concepts[i].familiar, data.concepts[i].label))
        kept = {i for i in by_name if not data.concepts[i].held_out}
        chosen = set([i for i in by_name if i in kept][: config.concepts])
        rows = [
            index
            for index, scene in enumerate(data.scenes)
            if scene.kind in ("single", "colour") and scene.set_key in config.set_keys and scene.placements[0].concept in chosen
        ]
        split = splits(data)
        training = np.asarray([i for i in rows if split[i] != EVALUATION and not data.scenes[i].held_out])
        rng = np.random.default_rng(config.seed)
        own = [i for i in rows if split[i] == EVALUATION]
        asked = rng.choice(own if own else rows, config.pictures)  # some more than once: other phrasings, other noise
        return Proxy(training, asked, [data.caption(int(index), 1000 + place) for place, index in enumerate(asked)])


@dataclass(frozen=True)
class ProxyTeacherConfig:
    """The part of a study's config that its teacher depends on."""

    channels: tuple[int, int, int]
    batch: int
    lr: float
    seed: int
    loop: LoopConfig


def train_teacher(
    config: StudyConfig, proxy: Proxy, workspace: Workspace, folder: Path, progress: Progress, clock: Clock
) -> Path | None:
    """The proxy's teacher, trained or resumed; its averaged weights as a diffusers folder, None where time ran out."""
    loop = replace(config.teacher, minutes=clock.left)
    teacher = ProxyTeacherConfig(config.channels, config.teacher_batch, config.teacher_lr, config.seed, loop)
    last = steps_done(folder) >= loop.steps and (folder / "unet").exists()
    if not last:
        run_stage(teacher, folder, progress, lambda: new_stage(teacher, proxy, workspace, folder, config.guidance_scale))
    return folder / "unet" if steps_done(folder) >= loop.steps else None


def new_stage(config: ProxyTeacherConfig, proxy: Proxy, workspace: Workspace, folder: Path, guidance_scale: float) -> TrainingStage:
    """The untrained narrow UNet with the v-prediction loss."""
    layout = workspace.layout()
    unet = new_unet(config.channels, layout=size_of(layout))
    unet.layout.load_state_dict(layout)
    unet = place(unet)
    state = TrainingState.new(unet, lr=config.lr, ema_decay=0.995, optimizer="muon", weight_decay=0.01)
    schedule = NoiseSchedule.from_scheduler(new_scheduler())
    source, sampler = PocketSource(workspace, caption_drop=0.1, seed=config.seed, indices=proxy.training), new_sampler(workspace)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        x0, captions = source.batch(step, config.batch)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        t = draw_timesteps(len(x0), schedule.num_timesteps, 2.0, generator)
        stream = RandomStream.of(config.seed, step, "layout", len(x0))
        losses = diffusion_loss(unet, x0, source.condition(captions, x0=x0, stream=stream).embeddings, t, schedule, generator)
        return losses.mean(), {}, len(x0)

    def preview(path: Path) -> None:
        prompts = proxy.captions[:24]
        images = sampler.decode(sampler.latents(unet, prompts, 12, guidance_scale, 0))
        contact_sheet(list(images), path, labels=prompts, side=128)
        unet.save_pretrained(folder / "unet")

    return TrainingStage(state=state, step=step_function, preview=preview)
