"""The sticker autoencoder stage: RGBA latents that forgive what a diffusion model gets wrong.

Encoder and decoder learn under noise on the latents (Yang et al., "Latent Denoising Makes Good Visual Tokenizers", 2025),
here at three scales, since a denoiser's errors are not white, and with the decoder told how strong it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.sticker_autoencoder import StickerAutoencoder
from hypersd_app.training.core.contact_sheet import contact_sheet, from_uint8, to_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, place, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, Stateful, TrainingStage, TrainingState, run_stage
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.pocket.autoencoder import gradient_l1
from hypersd_app.training.pocket.sticker_images import StickerImages
from hypersd_app.training.workspace import Workspace

NOISE_LEVELS = (0.0, 0.15, 0.3, 0.5, 0.8)  # at which validation decodes, in standard deviations of the latents
CLEAN_EVERY = 4  # one image of so many keeps its latents


@dataclass(frozen=True, kw_only=True)
class StickerAutoencoderConfig:
    """`noise`: the most that latents are moved, in their standard deviations. All settings are our choice.

    Two batches of three are crops in the first half, whole images in the second: crops hold more edges, and only whole
    images show the decoder's attention what it will read.
    """

    data: str = "icons"
    crops: int = 24
    pictures: int = 6
    lr: float = 1e-3
    optimizer: str = "muon"
    ema_decay: float = 0.998
    noise: float = 0.8
    half_scale_share: float = 0.2
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, warmup=100, cooldown=2000, preview_minutes=10))


PRESETS: dict[str, StickerAutoencoderConfig] = {
    "pocket": StickerAutoencoderConfig(),
    "tiny": StickerAutoencoderConfig(data="tiny-icons", crops=2, pictures=1, loop=LoopConfig(steps=3, warmup=1, log_every=1)),
}


def block_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Gaussian noise of unit variance mixed from cells of 1x1, 2x2 and 4x4 in random shares per image, float32 `shape`."""
    batch, channels, height, width = shape
    shares = torch.rand(batch, 3, 1, 1, 1, generator=generator)
    shares[:, 0] += 0.5
    shares = shares / shares.square().sum(1, keepdim=True).sqrt()
    noise = torch.zeros(shape)
    for scale in range(3):
        cells = torch.randn(batch, channels, -(-height // 2**scale), -(-width // 2**scale), generator=generator)
        noise += shares[:, scale] * functional.interpolate(cells, scale_factor=2**scale)[..., :height, :width]
    return noise


def flat_area_weights(target: Tensor) -> Tensor:
    """Weights (B, 1, H, W) of mean 1, several times larger where the target is flat: mottle hides in small errors there."""
    mean, square = functional.avg_pool2d(target, 16), functional.avg_pool2d(target.square(), 16)
    spread = (square - mean.square()).clamp_min(0).sum(1, keepdim=True).sqrt()
    weights = 1 / (0.25 + functional.interpolate(spread, size=target.shape[-2:], mode="bilinear"))
    return weights / weights.mean((1, 2, 3), keepdim=True)


def reconstruction_loss(images: Tensor, target: Tensor) -> Tensor:
    """L1 (flat areas weigh more), squared error, L1 of finite differences for edges, L1 of 16x16 means for colour."""
    error = images - target
    weighted = (flat_area_weights(target) * error.abs()).mean() + 2 * error.square().mean()
    return weighted + 0.5 * gradient_l1(images, target) + 0.5 * functional.avg_pool2d(error, 16).abs().mean()


def denoising_loss(
    model: StickerAutoencoder, target: Tensor, config: StickerAutoencoderConfig, generator: torch.Generator
) -> Tensor:
    """Reconstruction of large targets (B, 4, 2H, 2W) from noisy latents of their small copies.

    A share of the batches decodes latents at half scale against half the image (Kouzelis et al., "EQ-VAE", 2025).
    """
    with mixed_precision():
        latents = model.latents(functional.avg_pool2d(target, 2))
        if torch.rand((), generator=generator) < config.half_scale_share:
            latents, target = functional.avg_pool2d(latents, 2), functional.avg_pool2d(target, 2)
        level = config.noise * torch.rand(len(latents), 1, 1, 1, generator=generator)
        level[::CLEAN_EVERY] = 0
        level, noise = to_device(level, block_noise(latents.shape, generator))
        images = model.decoder(latents + level * noise, level, (target.shape[2], target.shape[3]))
    return reconstruction_loss(images.float(), target)


class Buffers:
    """A module's buffers as state of a checkpoint: the running statistics of its normalisation."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def state_tensors(self) -> dict[str, Tensor]:
        """All buffers by name."""
        return dict(self._module.named_buffers())

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`."""
        for name, buffer in self._module.named_buffers():
            buffer.copy_(tensors[name])


@torch.no_grad()
def psnr_under_noise(model: StickerAutoencoder, target: Tensor) -> dict[str, float]:
    """Mean PSNR in dB on white at the encoder's size, of images decoded at twice that size, by noise level."""
    small = functional.avg_pool2d(target, 2)
    with mixed_precision():
        latents = torch.cat([model.latents(part) for part in small.split(16)])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)).to(latents.device)
    result = {}
    for strength in NOISE_LEVELS:
        level = torch.full((len(latents), 1, 1, 1), strength, device=latents.device)
        with mixed_precision():
            parts = zip((latents + strength * noise).split(8), level.split(8), strict=True)
            images = torch.cat([model.decoder(z, s, (target.shape[2], target.shape[3])).float() for z, s in parts])
        error = (functional.avg_pool2d(images.clamp(-1, 1), 2) - small)[:, :3].square().mean((1, 2, 3))
        result[f"psnr_{strength:g}"] = float((10 * torch.log10(4 / error.clamp_min(1e-6))).mean())
    return result


def train(config: StickerAutoencoderConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes the averaged weights to `folder/model` as a diffusers folder."""
    icons = ImageDataset(workspace.run("data", config.data))
    run_stage(config, folder, progress, lambda: new_stage(config, icons, folder))


def new_stage(config: StickerAutoencoderConfig, icons: ImageDataset, folder: Path) -> TrainingStage:
    """An untrained autoencoder with its loss on images made of the training icons."""
    model = place(StickerAutoencoder())
    extras: dict[str, Stateful] = {"buffers": Buffers(model)}
    state = TrainingState.new(model, lr=config.lr, ema_decay=config.ema_decay, optimizer=config.optimizer, extras=extras)
    images = StickerImages(icons, icons.indices(False))
    held_out = icons.indices(True) if icons.indices(True).size else images.indices
    shown = np.sort(np.random.default_rng(config.seed).permutation(held_out)[:48])

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        rng, generator = np.random.default_rng((config.seed, step)), torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        whole = (step % 3 == 0) == (step < config.loop.steps // 2)
        batch = images.batch(rng, config.pictures) if whole else images.crops(rng, config.crops)
        return denoising_loss(model.train(), images_to_device(from_uint8(batch)), config, generator), {}, len(batch)

    def preview(path: Path) -> dict[str, float]:
        model.eval()
        target = images_to_device(from_uint8(np.stack([icons.rgba[index] for index in shown])))
        with torch.no_grad(), mixed_precision():
            images = model(functional.avg_pool2d(target[:12], 2))
        rows = [to_uint8(functional.avg_pool2d(target[:12, :3], 2)), to_uint8(images[:, :3])]
        contact_sheet([image for pair in zip(*rows, strict=True) for image in pair], path, columns=8, side=256)
        model.save_pretrained(folder / "model")
        return psnr_under_noise(model, target)

    return TrainingStage(state=state, step=step_function, preview=preview)
