"""The student stage: an accelerating LoRA distilled from the teacher by one of the methods."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from hypersd_app.diffusion.samplers import sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.distributed import Workers
from hypersd_app.training.core.eval_prompts import EVALUATION_PROMPTS
from hypersd_app.training.core.loop import Progress, RunFolder, run_loop
from hypersd_app.training.core.lora import fuse_lora, load_lora, save_difference, save_lora
from hypersd_app.training.core.precision import mixed_precision
from hypersd_app.training.critics.registry import open_reward, open_segmenter
from hypersd_app.training.distillation.config import PRESETS, StudentConfig
from hypersd_app.training.distillation.context import Helpers, Kit, Source
from hypersd_app.training.distillation.denoiser import UNetDenoiser
from hypersd_app.training.distillation.losses.reward_math import Reward, Segmenter
from hypersd_app.training.distillation.methods import METHODS
from hypersd_app.training.distillation.networks import ACCELERATOR, AdapterNetworks, Networks, WholeNetworks
from hypersd_app.training.distillation.pocket_source import PocketSource
from hypersd_app.training.distillation.regression_pairs import make_pairs
from hypersd_app.training.distillation.step import Distiller
from hypersd_app.training.pocket.teacher import Sampler, initial_noise
from hypersd_app.training.workspace import Workspace

__all__ = ["PRESETS", "FewStepSampler", "StudentConfig", "Subject", "distil", "train"]

logger = logging.getLogger(__name__)
FILE = "accelerator.safetensors"


class FewStepSampler:
    """Draws prompts with the student as the app does: TCD, trailing timesteps, no guidance."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @torch.no_grad()
    def latents(
        self, unet: UNet2DConditionModel, prompts: list[str], steps: int, seed: int, eta: float = 0.3, timestep: int = -1
    ) -> Tensor:
        """float32 (B, 16, 16, 16). A `timestep` of 0 or more is what a student of one step is told instead of T - 1."""
        schedule, generator = self.sampler.schedule, torch.Generator().manual_seed(seed)
        timesteps = trailing_timesteps(schedule.num_timesteps, steps) if timestep < 0 else torch.tensor([timestep])
        parts = []
        for start in range(0, len(prompts), 24):
            some = prompts[start : start + 24]
            told = self.sampler.embed(some).to(unet.device)
            noise = initial_noise(range(seed + start, seed + start + len(some))).to(unet.device)
            with mixed_precision():
                parts.append(sample_tcd(_model(unet, told), noise, timesteps, schedule, eta, generator).cpu())
        return torch.cat(parts)


def _model(unet: UNet2DConditionModel, told: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, t: unet(x, t, told, return_dict=False)[0]


@dataclass(frozen=True)
class Subject:
    """A teacher that can be distilled. `look` draws previews of a student's UNet into a file.

    `accelerator` is a student of it that ships, for a config that begins with one where this machine has trained none.
    """

    family: str  # pocket, sd15 or sdxl
    unet: Any
    schedule: NoiseSchedule
    source: Source
    reward: Callable[[str], Reward]
    segmenter: Callable[[], Segmenter]
    look: Callable[[Any, Path], None]
    accelerator: Path | None = None


def pocket_subject(config: StudentConfig, workspace: Workspace, workers: Workers) -> Subject:
    """Pocket's teacher with its pictures."""
    schedule = NoiseSchedule.from_scheduler(new_scheduler())
    few_steps = FewStepSampler(Sampler(workspace.embed, workspace.autoencoder, schedule))

    def look(unet: Any, path: Path) -> None:
        prompts = list(EVALUATION_PROMPTS[::2])
        rows = [few_steps.sampler.decode(few_steps.latents(unet, prompts, steps, 0)) for steps in (1, 4)]
        labels = [f"{steps}: {prompt}" for steps in (1, 4) for prompt in prompts]
        contact_sheet([picture for row in rows for picture in row], path, labels=labels, side=128)

    return Subject(
        "pocket",
        workspace.teacher(),
        schedule,
        PocketSource(workspace, config.caption_drop, config.seed + 7, None, workers.autocast, workers.device),
        lambda name: open_reward(name, workspace),
        lambda: open_segmenter(workspace),
        look,
        workspace.assets / FILE,
    )


def train(config: StudentConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Distil or resume in `folder`; the averaged weights are left as a LoRA in `folder/accelerator.safetensors`."""
    workers = Workers.open(config.precision)
    distil(config, pocket_subject(config, workspace, workers), workers, folder, progress)


def distil(config: StudentConfig, subject: Subject, workers: Workers, folder: Path, progress: Progress) -> bool:
    """Distil any subject; see `train`. Whether the last step was reached. Raises InvalidRequest for a config nobody can run."""
    torch.manual_seed(config.seed)
    run = RunFolder(folder)
    kit = new_kit(config, subject, workers, folder, progress)
    if workers.is_main:
        run.save_config(config)
    distiller = Distiller(kit)
    state = distiller.state()
    run.resume(state)

    def preview(step: int) -> None:
        state.ema.swap()
        subject.look(kit.networks.unet, run.previews / f"{step:06d}.png")
        save_student(kit, folder / FILE, subject.family)
        state.ema.swap()

    run_loop(run, state, config.loop, distiller, preview, progress, workers)
    return state.step >= config.loop.steps


def new_kit(config: StudentConfig, subject: Subject, workers: Workers, folder: Path, progress: Progress) -> Kit:
    """What the config's method works with. Raises InvalidRequest."""
    if config.method not in METHODS:
        raise InvalidRequest("method", config.method, ", ".join(METHODS))
    method = METHODS[config.method]
    networks = new_networks(config, subject.unet.to(workers.device), workers, beginning(config, subject, folder))
    helpers = Helpers(lambda: make_pairs(kit, folder / "pairs.npy", progress), subject.reward, subject.segmenter)
    kit = Kit(
        config,
        config.stages or method.stages,
        config.end or method.end,
        networks,
        subject.schedule,
        workers,
        subject.source,
        helpers,
    )
    return kit


def beginning(config: StudentConfig, subject: Subject, folder: Path) -> Path | None:
    """The accelerator that the config begins with: this machine's own, else the one that ships. Raises ModelUnavailable."""
    if not config.begin_with:
        return None
    own = folder.parent / config.begin_with / FILE
    for path in (own, subject.accelerator):
        if path is not None and path.exists():
            return path
    raise ModelUnavailable(f"No student in {own.parent}: run `train student --preset {config.begin_with}` first.")


def new_networks(config: StudentConfig, unet: Any, workers: Workers, begin: Path | None = None) -> Networks:
    """Student and teacher, the student beginning as the teacher or, with `begin`, where another student stands."""
    if config.weights == "lora":
        networks = AdapterNetworks(unet, config.rank, config.target_decay, workers.autocast, config.gradient_checkpointing)
        if begin is not None:
            load_lora(unet, ACCELERATOR, begin)
        return networks
    if config.weights != "whole":
        raise InvalidRequest("weights", config.weights, "lora or whole")
    whole = WholeNetworks(
        UNetDenoiser(unet),
        target_decay=config.target_decay,
        precision=workers.autocast,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    if begin is not None:
        fuse_lora(whole.unet, begin)
    return whole


def save_student(kit: Kit, path: Path, family: str) -> None:
    """The student's live weights as a LoRA file that says how it was made."""
    config, networks = kit.config, kit.networks
    metadata = {
        "family": family,
        "method": config.method,
        "stages": str(kit.stages),
        "guidance_scale": str(config.guidance_scale),
        "rank": str(config.rank),
    }
    if kit.config.score.timestep >= 0 and "dmd" in config.method:
        metadata["timestep"] = str(config.score.timestep)
    if isinstance(networks, WholeNetworks):
        kept = save_difference(networks.teacher_unet, networks.unet, config.rank, path, metadata)
        logger.info("a LoRA of rank %d keeps %.1f %% of what was learnt", config.rank, 100 * kept)
    else:
        save_lora(networks.unet, ACCELERATOR, path, metadata)
