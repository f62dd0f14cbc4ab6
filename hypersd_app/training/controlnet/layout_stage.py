"""The sketches stage: what a drawing changes of a caption's layout, a regression to mean latents as the layout prior is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.controlnet import DrawnLayout, PocketControlNet
from hypersd_app.models.layout import LATENT_SHAPE, LayoutPrior, changed, coded, without_code
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.controlnet.dataset import DrawingConfig, DrawnImages
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import mixed_precision, place, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import DRAWN_FILE, Workspace


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """`caption_drop` makes the drawing matter where the words say nothing."""

    data: str = "pocket"
    drawings: DrawingConfig = field(default_factory=DrawingConfig)
    caption_drop: float = 0.1
    batch: int = 48
    lr: float = 2e-3
    optimizer: str = "muon"
    ema_decay: float = 0.995
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000, warmup=50, cooldown=1500, preview_minutes=6))


PRESETS: dict[str, SketchConfig] = {
    "pocket": SketchConfig(drawings=DrawingConfig(bent=0.4)),
    "tiny": SketchConfig(
        data="tiny", drawings=DrawingConfig(anywhere=8, workers=1), batch=4, loop=LoopConfig(steps=4, warmup=2, log_every=2)
    ),
}


def train(config: SketchConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`, from the shipped ControlNet's; writes the averaged weights to `folder/drawn.safetensors`."""
    run_stage(config, folder, progress, lambda: new_stage(config, workspace, folder, progress))


def new_stage(config: SketchConfig, workspace: Workspace, folder: Path, progress: Progress) -> TrainingStage:
    """The network that changes layouts, with its regression to the latents of sketched images."""
    initial = workspace.initial("sketches", folder.name, "controlnet")
    drawn = place(PocketControlNet.from_pretrained(initial).drawn.float() if initial else DrawnLayout())
    prior = workspace.prior()
    state = TrainingState.new(drawn, lr=config.lr, ema_decay=config.ema_decay, optimizer=config.optimizer)
    seen = DrawnImages.of(config.drawings, workspace, progress)
    drawn.blank.copy_(seen.blank)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        batch = seen.batch(config.batch, config.caption_drop, config.seed, step)
        control, text, latents = to_device(batch.control, batch.text, batch.latents)
        layout = prior(text)
        with mixed_precision():
            change = drawn(control, without_code(text, prior.size), layout).float()
        return (changed(layout, change) - latents).square().mean(), {}, config.batch

    sampler = Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))

    def preview(path: Path) -> None:
        draw_preview(seen, prior, drawn, sampler.decode, path)
        save_file({name: value.contiguous() for name, value in drawn.state_dict().items()}, folder / DRAWN_FILE)

    return TrainingStage(state=state, step=step_function, preview=preview)


@torch.no_grad()
def draw_preview(
    seen: DrawnImages, prior: LayoutPrior, drawn: DrawnLayout, decode: Callable[[Tensor], NDArray[np.uint8]], path: Path
) -> None:
    """A contact sheet of 24 images: sketch, layout, fitted layout, changed layout and the image itself."""
    rows = torch.linspace(0, len(seen.captions) - 1, 24).long()
    latents, control, text, noise = to_device(*seen.rows(rows), seen.text(rows), seeded_noise(range(len(rows)), LATENT_SHAPE))
    layout = prior(coded(text, prior.size, noise))
    there = drawn.fitted_to(control, layout - drawn.blank) + drawn.blank
    after = changed(layout, drawn(control, text, layout))
    shown = (255 * (1 - control.permute(0, 2, 3, 1))).byte().cpu().numpy()
    columns: Sequence[NDArray[np.uint8]] = (shown, *(decode(found) for found in (layout, there, after, latents)))
    labels = [label for row in rows.tolist() for label in (seen.captions[row], "", "", "", "")]
    contact_sheet([image for row in zip(*columns, strict=True) for image in row], path, columns=10, side=128, labels=labels)
