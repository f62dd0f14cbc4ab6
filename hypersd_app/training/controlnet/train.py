"""The ControlNet stage: synthetic scribbles steer the frozen teacher, or the frozen student at its own timesteps.

Through the student it learns from what one step makes of drawings too, by score distillation and feedback (`first_step`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hypersd_app.catalog.builtin import POCKET_GUIDANCE
from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.samplers import sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.models.control_image import control_tensor
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.layout import LATENT_SHAPE
from hypersd_app.models.pocket import PocketUNet, new_scheduler, with_code_of
from hypersd_app.training.controlnet.dataset import DrawingConfig, DrawnImages
from hypersd_app.training.controlnet.dmd import Follow, SketchScore, SketchScoreConfig, TextModel
from hypersd_app.training.controlnet.feedback import SketchFeedback
from hypersd_app.training.controlnet.first_step import FirstStep, FirstStepConfig
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import memory_format, mixed_precision, place, to_device, training_device
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.critics.registry import trained
from hypersd_app.training.data.scribbles import scribble
from hypersd_app.training.pocket.teacher import Sampler, draw_timesteps
from hypersd_app.training.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class ControlNetConfig:
    """`caption_drop` makes shape follow the strokes alone; `control_drop` teaches that a blank board means nothing.

    `averaged_with`: a run of this stage that learnt in another way. What is left behind then is the mean of both runs' weights,
    which knows more than either (Wortsman et al., "Model soups", 2022).
    """

    data: str = "pocket"
    drawings: DrawingConfig = field(default_factory=DrawingConfig)
    batch: int = 32
    lr: float = 1e-3
    optimizer: str = "muon"
    ema_decay: float = 0.995
    caption_drop: float = 0.3
    control_drop: float = 0.1
    timestep_shift: float = 2.0  # shape is decided where there is more noise
    student: bool = False  # tune through the accelerated UNet at the timesteps of 1-8 steps; drawn layouts learn as well
    averaged_with: str = ""
    first_step: FirstStepConfig = field(default_factory=FirstStepConfig)  # of the student
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, warmup=20, cooldown=100, preview_minutes=6))


_THROUGH_STUDENT = ControlNetConfig(
    drawings=DrawingConfig(bent=0.4), student=True, caption_drop=0.1, batch=24, lr=3e-4,
    first_step=FirstStepConfig(score=SketchScoreConfig(weight=0.5)),
    loop=LoopConfig(steps=900, warmup=20, cooldown=300, preview_minutes=4),
)  # fmt: skip

PRESETS: dict[str, ControlNetConfig] = {
    "pocket": ControlNetConfig(drawings=DrawingConfig(bent=0.4)),
    # A first one in minutes.
    "first": ControlNetConfig(
        lr=2e-3, control_drop=0.05, loop=LoopConfig(steps=170, warmup=10, cooldown=60, preview_minutes=3, log_every=10)
    ),
    # Guided by words more than by strokes, and through all of the noise: knows more words, and paints beside the drawing.
    "pocket-student-words": replace(
        _THROUGH_STUDENT,
        first_step=FirstStepConfig(unsure=0.1, score=SketchScoreConfig(weight=0.5, words=4.0, strokes=3.0, highest=0.9)),
        loop=replace(_THROUGH_STUDENT.loop, steps=1300),
    ),
    "pocket-student": replace(_THROUGH_STUDENT, averaged_with="pocket-student-words"),
    "tiny": ControlNetConfig(
        data="tiny", drawings=DrawingConfig(anywhere=8, workers=1), batch=2, loop=LoopConfig(steps=4, warmup=2, log_every=2)
    ),
    "tiny-student": ControlNetConfig(
        data="tiny", drawings=DrawingConfig(anywhere=8, bent=0.5, workers=1), student=True, caption_drop=0.0, batch=16,
        first_step=FirstStepConfig(score=SketchScoreConfig(weight=0.5, rows=4, fake_rank=2)),
        loop=LoopConfig(steps=2, warmup=1, log_every=1),
    ),
}  # fmt: skip


def controlled(unet: PocketUNet, controlnet: PocketControlNet, control: Tensor, scale: float = 1.0) -> TextModel:
    """A model that follows `control` images."""

    def run(x: Tensor, t: Tensor, embeddings: Tensor) -> Tensor:
        conditioning = control if len(control) == len(x) else control.repeat(len(x) // len(control), 1, 1, 1)
        begun = {"layout": unet.layout(embeddings)}
        down, middle = controlnet(x, t, embeddings, conditioning, scale, added_cond_kwargs=begun, return_dict=False)
        return unet(
            x, t, embeddings, added_cond_kwargs=begun,
            down_block_additional_residuals=down, mid_block_additional_residual=middle, return_dict=False,
        )[0]  # fmt: skip

    return run


def newest_controlnet(workspace: Workspace) -> Path:
    """The folder of the one tuned through the student, else the teacher's, else the one that ships. Raises ModelUnavailable."""
    tuned = workspace.run("controlnet", "pocket-student") / "controlnet"
    if workspace.family != "tiny" and tuned.exists():
        return tuned
    return workspace.weights("controlnet", "controlnet", "controlnet")


def timesteps(config: ControlNetConfig, count: int, num_timesteps: int, generator: torch.Generator) -> Tensor:
    """`count` timesteps to train at: the teacher's anywhere, the student's where 1-8 steps start, half of them at the first."""
    if not config.student:
        return draw_timesteps(count, num_timesteps, config.timestep_shift, generator)
    starts = trailing_timesteps(num_timesteps, 8)
    drawn = starts[torch.randint(len(starts), (count,), generator=generator)]
    return torch.where(torch.rand(count, generator=generator) < 0.5, starts[0], drawn)


def new_first_step(
    config: FirstStepConfig, workspace: Workspace, student: Follow, guide: PocketControlNet, schedule: NoiseSchedule
) -> FirstStep:
    """What judges the `student`'s first step. Scores follow drawings by the `guide`, which stays as it is.

    Raises ModelUnavailable before `train reward --preset agreement`.
    """
    names = [concept.names[0] for concept in workspace.data.concepts]
    feedback = SketchFeedback(trained("agreement", workspace), names, workspace.embed, workspace.autoencoder)
    feedback = feedback.to(training_device())
    score = None
    if config.score.weight:
        unet = workspace.teacher()
        (nothing,) = to_device(with_code_of(unet, workspace.embed([""]), None))
        score = SketchScore(config.score, unet, partial(controlled, unet, guide), nothing, schedule)
    return FirstStep(config, student, schedule, feedback, score)


def train(config: ControlNetConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes the averaged weights to `folder/controlnet` as a diffusers folder."""
    run_stage(config, folder, progress, lambda: new_stage(config, workspace, folder, progress))


def new_networks(config: ControlNetConfig, workspace: Workspace, preset: str) -> tuple[PocketUNet, PocketControlNet]:
    """The frozen UNet, the teacher's or the student's, and the ControlNet to train."""
    unet, initial = workspace.teacher(), workspace.initial("controlnet", preset, "controlnet")
    if config.student:
        initial = workspace.weights("controlnet", "controlnet", "controlnet")
        fuse_lora(unet, workspace.accelerator())
    unet = place(unet).requires_grad_(False)
    controlnet = PocketControlNet.from_pretrained(initial) if initial else PocketControlNet.for_unet(unet)
    if not config.student:  # else it comes with trained layouts, and trains them further
        workspace.load_drawn(controlnet)
    controlnet = place(controlnet.float())
    controlnet.drawn.requires_grad_(config.student)  # else trained by a stage of its own, like the layout prior
    return unet, controlnet


def new_stage(config: ControlNetConfig, workspace: Workspace, folder: Path, progress: Progress) -> TrainingStage:
    """The ControlNet with its diffusion loss and, through the student, the losses of the first step."""
    unet, controlnet = new_networks(config, workspace, folder.name)
    follow, schedule = partial(controlled, unet, controlnet), NoiseSchedule.from_scheduler(new_scheduler())
    at_first = None
    if config.student:
        guide = copy.deepcopy(controlnet).requires_grad_(False)
        at_first = new_first_step(config.first_step, workspace, follow, guide, schedule)
    state = TrainingState.new(
        controlnet,
        lr=config.lr,
        ema_decay=config.ema_decay,
        optimizer=config.optimizer,
        extras=at_first.state() if at_first else {},
    )
    seen = DrawnImages.of(config.drawings, workspace, progress)
    sampler = Sampler(workspace.embed, workspace.autoencoder, schedule)
    other = workspace.run("controlnet", config.averaged_with) / "controlnet" if config.averaged_with else None

    def preview(path: Path) -> None:
        averaged = mean_of(controlnet, other)
        with torch.no_grad():
            draw_preview(unet, averaged, workspace, sampler, config.student, path)
        averaged.save_pretrained(folder / "controlnet")

    step = ControlNetStep(config, seen, schedule, follow, at_first)
    return TrainingStage(state=state, step=step, preview=preview)


@dataclass(frozen=True)
class ControlNetStep:
    """The step function: the diffusion loss of a batch of sketches, and the first step's losses where there are any."""

    config: ControlNetConfig
    seen: DrawnImages
    schedule: NoiseSchedule
    follow: Follow
    at_first: FirstStep | None

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        config, schedule, count = self.config, self.schedule, self.config.batch
        batch = self.seen.batch(count, config.caption_drop, config.seed + 13, step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        batch.control[torch.rand(count, generator=generator) < config.control_drop] = 0
        t = timesteps(config, count, schedule.num_timesteps, generator)
        eps = torch.randn(batch.latents.shape, generator=generator)
        batch, (t, eps) = batch.on_device(), to_device(t, eps)
        x_t = schedule.add_noise(batch.latents, eps, t).contiguous(memory_format=memory_format())
        with mixed_precision():
            prediction = self.follow(batch.control)(x_t, t, batch.text)
        errors = (prediction.float() - schedule.velocity(batch.latents, eps, t)).square().mean((1, 2, 3))
        first = ((t == schedule.num_timesteps - 1) & batch.control.flatten(1).any(1)).nonzero()[:, 0]
        if self.at_first is None or not len(first):
            return errors.mean(), {}, count
        first = first[torch.randperm(len(first), generator=generator).to(first.device)]
        x0, _ = schedule.split(prediction[first], x_t[first], t[first])
        added, figures = self.at_first(x0, batch.rows(first), generator)
        weights = torch.ones(len(t), device=t.device).index_fill(0, first, config.first_step.followed)
        losses = {"followed": (weights * errors).mean(), **added}
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        return torch.stack([*losses.values()]).sum(), {**values, **figures}, count


@torch.no_grad()
def mean_of(controlnet: PocketControlNet, other: Path | None) -> PocketControlNet:
    """A copy, its weights averaged with the other's where that exists."""
    made = copy.deepcopy(controlnet)
    if other and other.exists():
        for weight, second in zip(made.parameters(), PocketControlNet.from_pretrained(other).parameters(), strict=True):
            weight.lerp_(second.to(weight.dtype), 0.5)
    return made


def draw_preview(
    unet: PocketUNet, controlnet: PocketControlNet, workspace: Workspace, sampler: Sampler, student: bool, path: Path
) -> None:
    """Drawings of unseen images beside what becomes of them."""
    data, rng = workspace.data, np.random.default_rng(5)
    unseen = data.indices(True)
    chosen = np.sort(rng.choice(unseen, min(16, len(unseen)), replace=False))
    drawn = np.stack([scribble(np.ascontiguousarray(data.images[index]), rng) for index in chosen])
    prompts = [data.caption(int(index), 3) for index in chosen]
    cond, uncond, noise, control = to_device(
        sampler.embed(prompts),
        sampler.embed([""] * len(chosen)),
        seeded_noise(range(len(chosen)), LATENT_SHAPE),
        control_tensor(torch.from_numpy(drawn)),
    )
    cond, uncond = with_code_of(unet, cond, noise), with_code_of(unet, uncond, None)
    scale, steps = (0.0, 1) if student else (POCKET_GUIDANCE, 10)
    times = trailing_timesteps(sampler.schedule.num_timesteps, steps)
    with mixed_precision():
        model = guided(controlled(unet, controlnet, control), cond, uncond, scale)
        out = sample_tcd(model, noise, times, sampler.schedule, 0.0, torch.Generator().manual_seed(0))
    pairs = [image for row in zip(drawn, sampler.decode(out), strict=True) for image in row]
    contact_sheet(pairs, path, labels=[text for prompt in prompts for text in (prompt, "")], side=128)
