"""The ControlNet stage: synthetic scribbles steer the frozen teacher, or the frozen student at its own timesteps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.diffusion.samplers import guided, sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.distill.compositions import moved
from hypersd_app.distill.data.dataset import PICTURE_SIZE, PictureData
from hypersd_app.distill.data.scribbles import scribble
from hypersd_app.distill.latents import blank_latents
from hypersd_app.distill.lora import fuse_lora
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.precision import MEMORY_FORMAT, mixed_precision
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.teacher import Sampler, TextImageBatches, draw_timesteps, initial_noise
from hypersd_app.distill.workspace import Workspace
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pictures import control_tensor
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.models.shapes import LATENT_SIDE

CELL = PICTURE_SIZE // LATENT_SIDE  # px of one latent


@dataclass(frozen=True)
class ControlNetConfig:
    """`caption_drop` makes shape follow the strokes alone; `control_drop` teaches that a blank board means nothing.

    `most_cells`: how far a picture and its strokes are moved together, in latent cells of 16 px. The layout prior expects
    things in the middle, and people draw where they like.
    """

    data: str = "pocket"
    batch: int = 32
    lr: float = 1e-3
    optimizer: str = "muon"
    ema_decay: float = 0.995
    caption_drop: float = 0.3
    control_drop: float = 0.1
    most_cells: int = 5
    timestep_shift: float = 2.0  # shape is decided where there is more noise
    student: bool = False  # tune through the accelerated UNet at the timesteps of 1-8 steps
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, warmup=20, cooldown=100, preview_minutes=6))


PRESETS: dict[str, ControlNetConfig] = {
    "pocket": ControlNetConfig(),
    # A first one in minutes.
    "first": ControlNetConfig(
        lr=2e-3, control_drop=0.05, loop=LoopConfig(steps=170, warmup=10, cooldown=60, preview_minutes=3, log_every=10)
    ),
    "pocket-student": ControlNetConfig(
        student=True, lr=1e-4, loop=LoopConfig(steps=400, warmup=20, cooldown=150, preview_minutes=4)
    ),
    "tiny": ControlNetConfig(data="tiny", batch=2, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


class Scribbles:
    """Control pictures for a batch, a pure function of the step."""

    def __init__(self, data: PictureData, drop: float, seed: int) -> None:
        self.data, self.drop, self.seed = data, drop, seed

    def __call__(self, indices: NDArray[np.int64], step: int) -> Tensor:
        """float32 (B, 3, 256, 256) in [0, 1]."""
        rng = np.random.default_rng((self.seed, step, 1))
        rows = []
        for index in indices:
            picture = np.ascontiguousarray(self.data.pictures[index])
            rows.append(np.zeros_like(picture) if rng.random() < self.drop else scribble(picture, rng))
        return control_tensor(torch.from_numpy(np.stack(rows)))


def moved_together(latents: Tensor, control: Tensor, blank: Tensor, most_cells: int, rng: np.random.Generator) -> None:
    """Move three of four pictures, in place, each with its strokes: latents (B, 16, 16, 16) by whole cells, control by 16 px each.

    What is left behind takes the `blank` picture's latents (16, 16, 16), and black.
    """
    for row in np.flatnonzero(rng.random(len(latents)) < 0.75):
        dy, dx = (int(cells) for cells in rng.integers(-most_cells, most_cells + 1, 2))
        latents[row] = moved(latents[row], blank, dy, dx)
        control[row] = moved(control[row], torch.zeros(()), CELL * dy, CELL * dx)


def controlled(
    unet: UNet2DConditionModel, controlnet: PocketControlNet, control: Tensor, scale: float = 1.0
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A model (x, t, embeddings) -> prediction that follows `control` pictures."""

    def run(x: Tensor, t: Tensor, embeddings: Tensor) -> Tensor:
        conditioning = control if len(control) == len(x) else control.repeat(len(x) // len(control), 1, 1, 1)
        down, middle = controlnet(x, t, embeddings, conditioning, scale, return_dict=False)
        return unet(
            x, t, embeddings, down_block_additional_residuals=down, mid_block_additional_residual=middle, return_dict=False
        )[0]  # fmt: skip

    return run


def newest_controlnet(workspace: Workspace) -> PocketControlNet:
    """The one tuned through the student, else the teacher's, else the one that ships. Raises ModelUnavailable."""
    tuned = workspace.run("controlnet", "pocket-student") / "controlnet"
    found = tuned if workspace.family != "tiny" and tuned.exists() else workspace.weights("controlnet", "controlnet", "controlnet")
    return PocketControlNet.from_pretrained(found)


def timesteps(config: ControlNetConfig, count: int, num_timesteps: int, generator: torch.Generator) -> Tensor:
    """`count` timesteps to train at: the teacher's anywhere, the student's where 1-8 steps start, half of them at the first."""
    if not config.student:
        return draw_timesteps(count, num_timesteps, config.timestep_shift, generator)
    starts = trailing_timesteps(num_timesteps, 8)
    drawn = starts[torch.randint(len(starts), (count,), generator=generator)]
    return torch.where(torch.rand(count, generator=generator) < 0.5, starts[0], drawn)


def train(config: ControlNetConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; the averaged weights are left in `folder/controlnet` as a diffusers folder."""
    torch.manual_seed(config.seed)
    unet = workspace.teacher()
    initial = workspace.initial("controlnet", folder.name, "controlnet")
    if config.student:
        initial = workspace.weights("controlnet", "controlnet", "controlnet")
        fuse_lora(unet, workspace.weights("student", "accelerator.safetensors", "accelerator.safetensors"))
    controlnet = PocketControlNet.from_pretrained(initial) if initial else PocketControlNet.for_unet(unet)
    unet = unet.to(memory_format=MEMORY_FORMAT).requires_grad_(False)
    workspace.load_drawn(controlnet)
    controlnet = controlnet.float().to(memory_format=MEMORY_FORMAT)
    controlnet.drawn.requires_grad_(False)  # learnt by a stage of its own, like the layout prior
    state = TrainingState(
        controlnet, build_optimizers(controlnet, config.optimizer, config.lr), ExponentialAverage(controlnet, config.ema_decay)
    )
    run, schedule = RunFolder(folder), NoiseSchedule.from_scheduler(new_scheduler())
    run.save_config(config)
    run.resume(state)
    batches = TextImageBatches.of(workspace, config.batch, config.caption_drop, config.seed + 13)
    data, embed = workspace.data, workspace.embed
    scribbles, sampler = Scribbles(data, config.control_drop, config.seed), Sampler(embed, workspace.autoencoder, schedule)
    blank = blank_latents(workspace.autoencoder)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        x0, embeddings, _ = batches(step)
        control = scribbles(batches.chosen(step), step)
        moved_together(x0, control, blank, config.most_cells, np.random.default_rng((config.seed, step, 5)))
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        t = timesteps(config, len(x0), schedule.num_timesteps, generator)
        eps = torch.randn(x0.shape, generator=generator)
        x_t = schedule.add_noise(x0, eps, t).contiguous(memory_format=MEMORY_FORMAT)
        with mixed_precision():
            prediction = controlled(unet, controlnet, control)(x_t, t, embeddings)
        loss = (prediction.float() - schedule.velocity(x0, eps, t)).square().mean()
        return loss, {}, len(x0)

    def preview(step: int) -> None:
        state.ema.swap()
        rng = np.random.default_rng(5)
        unseen = data.indices(True)
        chosen = np.sort(rng.choice(unseen, min(16, len(unseen)), replace=False))
        control, prompts = scribbles(chosen, 0), [data.caption(int(i), 3) for i in chosen]
        cond, uncond, noise = embed(prompts), embed([""] * len(chosen)), initial_noise(range(len(chosen)))
        scale, steps = (0.0, 1) if config.student else (3.0, 10)
        with torch.no_grad(), mixed_precision():
            model = guided(controlled(unet, controlnet, control), cond, uncond, scale)
            generator = torch.Generator().manual_seed(0)
            out = sample_tcd(model, noise, trailing_timesteps(schedule.num_timesteps, steps), schedule, 0.0, generator)
        pictures = sampler.decode(out)
        drawn = (control * 255).byte().permute(0, 2, 3, 1).numpy()
        pairs = [picture for row in zip(drawn, pictures, strict=True) for picture in row]
        labels = [text for prompt in prompts for text in (prompt, "")]
        contact_sheet(pairs, run.previews / f"{step:06d}.png", labels=labels, side=128)
        controlnet.save_pretrained(folder / "controlnet")
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)
