"""The teacher stage: a text-to-image diffusion model on latents, v-prediction with zero terminal SNR."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.catalog.builtin import POCKET_GUIDANCE
from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.models.autoencoders import PocketVae, rgb_of
from hypersd_app.models.layout import LATENT_SHAPE, LayoutPrior, with_code
from hypersd_app.models.pocket import PocketUNet, new_scheduler, new_unet, with_code_of, with_prior
from hypersd_app.training.core.contact_sheet import contact_sheet, to_uint8
from hypersd_app.training.core.device import computes_in_bfloat16, memory_format, mixed_precision, place, to_device
from hypersd_app.training.core.eval_prompts import EVALUATION_PROMPTS
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.data.captions import as_request
from hypersd_app.training.data.compositions import Compositions
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.latents import LatentStore
from hypersd_app.training.data.text_encoder import TextEmbedder
from hypersd_app.training.workspace import Workspace

_REQUEST_SHARE = 0.15

CANDIDATES = 8  # random codes of a layout, of which the one goes with an image whose layout is nearest


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """`main_weight` and `familiar_weight`: how much more often the main style and familiar concepts are shown."""

    data: str = "pocket"
    parts: str = "parts"  # of which compositions are put together; "": none
    composed_share: float = 0.25
    main_weight: float = 3.0
    familiar_weight: float = 6.0
    channels: tuple[int, int, int] = (128, 256, 320)
    deep_layers: int = 1
    batch: int = 32  # more steps an hour than with 64, which matters more than their noise this early
    lr: float = 2e-3
    optimizer: str = "muon"
    ema_decay: float = 0.999
    caption_drop: float = 0.1
    layout_drop: float = 0.1  # of images whose layout has a code: shown none, so that its strength is a dial
    candidates: int = CANDIDATES
    timestep_shift: float = 3.0  # towards noise, where what is drawn is decided
    guidance_scale: float = POCKET_GUIDANCE  # of the previews
    compile: bool = field(default_factory=computes_in_bfloat16)  # a fifth faster there; in float32 not worth the minutes
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=200000, warmup=30, cooldown=4000, preview_minutes=12))


PRESETS: dict[str, TeacherConfig] = {
    "pocket": TeacherConfig(),
    "tiny": TeacherConfig(
        data="tiny",
        parts="tiny",
        channels=(64, 64, 64),
        deep_layers=1,
        batch=4,
        compile=False,
        loop=LoopConfig(steps=4, warmup=2, log_every=2),
    ),
}


@dataclass(kw_only=True)
class TextImageBatches:
    """Batches of (latents, caption embeddings), a pure function of the step."""

    data: ImageDataset
    latents: LatentStore
    embed: TextEmbedder
    indices: NDArray[np.int64]
    batch: int
    caption_drop: float
    seed: int
    weights: NDArray[np.float64] | None = None  # how often each of `indices` is drawn; None: equally
    composer: Compositions | None = None
    composed: int = 0  # images of a batch that `composer` puts together, the last ones

    @staticmethod
    def of(
        workspace: Workspace, batch: int, caption_drop: float, seed: int, main_weight: float = 3.0, familiar_weight: float = 6.0
    ) -> TextImageBatches:
        """The training split of a workspace."""
        data = workspace.data
        indices = data.indices(False)
        weights = data.weights(indices, main_weight, familiar_weight)
        return TextImageBatches(
            data=data,
            latents=workspace.latents,
            embed=workspace.embed,
            indices=indices,
            batch=batch,
            caption_drop=caption_drop,
            seed=seed,
            weights=weights,
        )

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Which rendered images the batch of `step` holds."""
        return np.sort(np.random.default_rng((self.seed, step)).choice(self.indices, self.batch - self.composed, p=self.weights))

    def __call__(self, step: int) -> tuple[Tensor, Tensor, list[str]]:
        """Latents float32 (B, 16, 16, 16), embeddings (B, L, 384) and the captions; dropped ones are empty."""
        chosen, rng = self.chosen(step), np.random.default_rng((self.seed, step, 2))
        captions = [self._caption(int(index), rng) for index in chosen]
        latents = torch.from_numpy(self.latents[chosen].astype(np.float32))
        if self.composer is not None:
            scenes = [self.composer.any_scene(random.Random(f"{self.seed}:{step}:{row}")) for row in range(self.composed)]
            captions += [self.composer.data.captioner.caption(scene, random.Random(int(rng.integers(1 << 30)))) for scene in scenes]
            latents = torch.cat([latents, self.composer.latents(scenes)])
        captions = ["" if rng.random() < self.caption_drop else caption for caption in captions]
        return latents, self.embed(captions), captions

    def _caption(self, index: int, rng: np.random.Generator) -> str:
        seed = int(rng.integers(1 << 30))
        caption = self.data.caption(index, seed)
        return as_request(caption, random.Random(seed)) if rng.random() < _REQUEST_SHARE else caption


def draw_timesteps(count: int, num_timesteps: int, shift: float, generator: torch.Generator) -> Tensor:
    """Stratified timesteps, int64 (count,): one from each of `count` equal parts, so that the loss is less noisy.

    A `shift` above 1 moves them towards noise, as Esser et al. (2024) do; 1 leaves them uniform.
    """
    u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    u = shift * u / (1 + (shift - 1) * u)
    return (u * num_timesteps).long().clamp(0, num_timesteps - 1)


def diffusion_loss(
    unet: Callable[..., tuple[Tensor, ...]],
    x0: Tensor,
    embeddings: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of v per image, float32 (B,), in mixed precision on the training device; inputs are on the CPU."""
    eps = torch.randn(x0.shape, generator=generator)
    x0, eps, t, embeddings = to_device(x0, eps, t, embeddings)
    x_t = schedule.add_noise(x0, eps, t).contiguous(memory_format=memory_format())
    with mixed_precision():
        prediction = unet(x_t, t, embeddings, return_dict=False)[0]
    return (prediction.float() - schedule.velocity(x0, eps, t)).square().mean((1, 2, 3))


def with_nearest_layouts(
    prior: LayoutPrior, text: Tensor, x0: Tensor, shown: Tensor, candidates: int, generator: torch.Generator
) -> Tensor:
    """Embeddings as a model with this prior is trained on them: see `with_layouts_of`; without codes the text is as it was."""
    if not prior.size.code:
        return text
    return with_layouts_of(prior, text, x0, shown, torch.randn(len(x0), candidates, prior.size.code, generator=generator))


def with_layouts_of(prior: LayoutPrior, text: Tensor, x0: Tensor, shown: Tensor, candidates: Tensor) -> Tensor:
    """Embeddings with the code, of `candidates` (B, N, n), whose layout is nearest to each of `x0`; none where `shown` is false.

    `shown` is bool (B,). All are on the CPU, as the result.
    """
    words, latents, codes = to_device(text, x0, candidates)
    return with_code(text, prior.nearest_code(words, latents, codes).cpu(), shown)


class Sampler:
    """Draws prompts with a UNet, for previews and evaluation."""

    def __init__(self, embed: TextEmbedder, autoencoder: PocketVae, schedule: NoiseSchedule) -> None:
        self.embed, self.autoencoder, self.schedule = embed, autoencoder.eval(), schedule

    @torch.no_grad()
    def latents(
        self, unet: UNet2DConditionModel, prompts: list[str], steps: int, guidance_scale: float, seed: int, chunk: int = 24
    ) -> Tensor:
        """DDIM with trailing timesteps; float32 (B, 16, 16, 16). Image i starts from the noise of seed + i."""
        timesteps = trailing_timesteps(self.schedule.num_timesteps, steps)
        parts = []
        for start in range(0, len(prompts), chunk):
            some = prompts[start : start + chunk]
            cond, uncond = (text.to(unet.device) for text in (self.embed(some), self.embed([""] * len(some))))
            noise = seeded_noise(range(seed + start, seed + start + len(some)), LATENT_SHAPE).to(unet.device)
            cond, uncond = with_code_of(unet, cond, noise), with_code_of(unet, uncond, None)
            with mixed_precision():
                model = guided(lambda x, t, c: unet(x, t, c, return_dict=False)[0], cond, uncond, guidance_scale)
                parts.append(sample_ddim(model, noise, timesteps, self.schedule).cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents to (B, 256, 256, 3) uint8."""
        latents = latents.to(self.autoencoder.device)
        with mixed_precision():
            parts = [to_uint8(rgb_of(self.autoencoder, part)) for part in latents.split(16)]
        return np.concatenate(parts)


def train(config: TeacherConfig, workspace: Workspace, folder: Path, progress: Progress, initial: Path | None = None) -> None:
    """Train or resume in `folder`; writes the averaged weights to `folder/unet` as a diffusers folder."""
    run_stage(config, folder, progress, lambda: new_stage(config, workspace, folder, initial))


def new_stage(config: TeacherConfig, workspace: Workspace, folder: Path, initial: Path | None) -> TrainingStage:
    """The teacher from `initial` or untrained, with the v-prediction loss."""
    batches, schedule = new_batches(config, workspace), NoiseSchedule.from_scheduler(new_scheduler())
    layout = workspace.layout()
    unet = PocketUNet.from_pretrained(initial) if initial else new_unet(config.channels, config.deep_layers)
    unet = place(with_prior(unet, layout).float())
    state = TrainingState.new(unet, lr=config.lr, ema_decay=config.ema_decay, optimizer=config.optimizer, weight_decay=0.01)
    sampler = Sampler(workspace.embed, workspace.autoencoder, schedule)
    network = torch.compile(unet) if config.compile else unet

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        x0, embeddings, captions = batches(step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        shown = torch.tensor([caption != "" for caption in captions])
        if unet.layout.size.code:
            shown &= torch.rand(len(shown), generator=generator) >= config.layout_drop
        embeddings = with_nearest_layouts(unet.layout, embeddings, x0, shown, config.candidates, generator)
        t = draw_timesteps(len(x0), schedule.num_timesteps, config.timestep_shift, generator)
        losses = diffusion_loss(network, x0, embeddings, t, schedule, generator)
        halves = losses.detach().cpu()
        metrics = {"loss_late": float(halves[t >= 500].mean()), "loss_early": float(halves[t < 500].mean())}
        return losses.mean(), metrics, len(x0)

    def preview(path: Path) -> None:
        unet.eval()
        prompts = list(EVALUATION_PROMPTS)
        images = sampler.decode(sampler.latents(unet, prompts, 12, config.guidance_scale, 0))
        contact_sheet(list(images), path, labels=prompts, side=128)
        unet.save_pretrained(folder / "unet")
        unet.train()

    return TrainingStage(state=state, step=step_function, preview=preview)


def new_batches(config: TeacherConfig, workspace: Workspace) -> TextImageBatches:
    """The training split, with compositions of its parts where the config asks for them."""
    batches = TextImageBatches.of(
        workspace, config.batch, config.caption_drop, config.seed, config.main_weight, config.familiar_weight
    )
    if config.parts:
        batches.composer = replace(workspace, family=config.parts).compositions
        batches.composed = round(config.composed_share * config.batch)
    return batches
