"""The student stage: an accelerating LoRA distilled from the teacher over falling numbers of segments."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from hypersd_app.diffusion.samplers import guided, sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.distill.consistency import Segments, consistency_loss
from hypersd_app.distill.lora import add_lora, save_lora
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.precision import MEMORY_FORMAT, mixed_precision
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.prompts import EVALUATION_PROMPTS
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.teacher import Sampler, TextImageBatches, initial_noise
from hypersd_app.distill.workspace import Workspace
from hypersd_app.models.pocket import new_scheduler

ADAPTER = "accelerator"


@dataclass(frozen=True)
class StudentConfig:
    """`stages` lists (number of segments, steps); TSCD is 8, 4, 2, 1, plain TCD a single stage of 1."""

    data: str = "pocket"
    stages: tuple[tuple[int, int], ...] = ((8, 100), (4, 150), (2, 250), (1, 1000))
    end: str = "random"
    skip: int = 20
    rank: int = 24  # all weights together must stay below 160 MB
    batch: int = 32
    lr: float = 5e-4
    optimizer: str = "adamw"
    ema_decay: float = 0.99
    guidance_scale: float = 4.0
    caption_drop: float = 0.05
    offset_noise: float = 0.0
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, warmup=50, cooldown=300, preview_minutes=6))

    def num_segments(self, step: int) -> int:
        """The stage that `step` falls into; the last goes on for ever."""
        for segments, steps in self.stages:
            if step < steps:
                return segments
            step -= steps
        return self.stages[-1][0]


PRESETS: dict[str, StudentConfig] = {
    "pocket": StudentConfig(),
    # A first student in minutes: a coarser grid carries the clean end to t = T - 1 in fewer steps.
    "first": StudentConfig(
        stages=((4, 40), (2, 60), (1, 150)),
        skip=50,
        lr=1e-3,
        guidance_scale=3.0,
        loop=LoopConfig(steps=250, warmup=15, cooldown=80, preview_minutes=4, log_every=10),
    ),
    "tcd": StudentConfig(stages=((1, 1),)),
    "lcm": StudentConfig(stages=((1, 1),), end="clean"),
    "tiny": StudentConfig(data="tiny", stages=((2, 2), (1, 2)), batch=4, rank=4, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


class FewStepSampler:
    """Draws prompts with the student as the app does: TCD, trailing timesteps, no guidance."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @torch.no_grad()
    def latents(self, unet: UNet2DConditionModel, prompts: list[str], steps: int, seed: int, eta: float = 0.3) -> Tensor:
        """float32 (B, 16, 16, 16)."""
        schedule, generator = self.sampler.schedule, torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, len(prompts), 24):
            some = prompts[start : start + 24]
            cond = self.sampler.embed(some)
            noise = initial_noise(range(seed + start, seed + start + len(some)))
            with mixed_precision():
                model = guided(lambda x, t, c: unet(x, t, c, return_dict=False)[0], cond, cond, 0.0)
                parts.append(sample_tcd(model, noise, trailing_timesteps(schedule.num_timesteps, steps), schedule, eta, generator))
        return torch.cat(parts)


def train(config: StudentConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Distil or resume in `folder`; the averaged LoRA is left in `folder/accelerator.safetensors`."""
    torch.manual_seed(config.seed)
    unet = workspace.teacher()
    add_lora(unet, config.rank, ADAPTER, ends=True)
    state = TrainingState(unet, build_optimizers(unet, config.optimizer, config.lr), ExponentialAverage(unet, config.ema_decay))
    run, schedule = RunFolder(folder), NoiseSchedule.from_scheduler(new_scheduler())
    run.save_config(config)
    run.resume(state)
    batches = TextImageBatches.of(workspace, config.batch, config.caption_drop, config.seed + 7)
    few_steps = FewStepSampler(Sampler(workspace.embed, workspace.autoencoder, schedule))
    empty = workspace.embed([""])

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        x0, embeddings, _ = batches(step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        segments = Segments(schedule.num_timesteps, config.num_segments(step), config.skip)

        def predict(x: Tensor, t: Tensor, c: Tensor = embeddings) -> Tensor:
            return unet(x.contiguous(memory_format=MEMORY_FORMAT), t, c, return_dict=False)[0]

        def teach(x: Tensor, t: Tensor) -> Tensor:
            unet.disable_adapters()
            try:
                return guided(predict, embeddings, empty.expand_as(embeddings), config.guidance_scale)(x, t)
            finally:
                unet.enable_adapters()

        times = segments.draw(len(x0), generator, config.end)
        with mixed_precision():
            losses = consistency_loss(predict, predict, teach, x0, times, schedule, generator, offset_noise=config.offset_noise)
        return losses.mean(), {"segments": segments.num_segments}, len(x0)

    def preview(step: int) -> None:
        state.ema.swap()
        prompts = list(EVALUATION_PROMPTS[::2])
        rows = [few_steps.sampler.decode(few_steps.latents(unet, prompts, steps, 0)) for steps in (1, 4)]
        labels = [f"{steps}: {prompt}" for steps in (1, 4) for prompt in prompts]
        contact_sheet([picture for row in rows for picture in row], run.previews / f"{step:06d}.png", labels=labels, side=128)
        settings = {key: str(value) for key, value in asdict(config).items() if key in ("stages", "rank", "guidance_scale")}
        save_lora(unet, ADAPTER, folder / "accelerator.safetensors", {"method": "tscd", **settings})
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)
