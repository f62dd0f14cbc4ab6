"""The autoencoder stage: reconstruction on crops, with latents kept smooth enough for a diffusion model to learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.training.core.contact_sheet import contact_sheet, from_uint8, to_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, place, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """`noise` and `half_scale_share` cost a little sharpness and make the latents smoother; see `Objective`."""

    data: str = "pocket"
    batch: int = 32
    crop: int = 128
    lr: float = 1e-3
    optimizer: str = "muon"
    ema_decay: float = 0.998
    noise: float = 0.3
    half_scale_share: float = 0.25
    decoder_only: bool = False  # sharpen a finished autoencoder without moving its latents
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000, warmup=100, cooldown=1200))


PRESETS: dict[str, AutoencoderConfig] = {
    "pocket": AutoencoderConfig(),
    "pocket-decoder": AutoencoderConfig(
        decoder_only=True, noise=0.1, half_scale_share=0.0, lr=5e-4, loop=LoopConfig(steps=3000, warmup=50, cooldown=1500)
    ),
    "tiny": AutoencoderConfig(data="tiny", batch=4, loop=LoopConfig(steps=6, warmup=2, log_every=2)),
}


def gradient_l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical finite differences: edges count, flat areas stay flat."""
    difference = a - b
    return (difference[..., 1:] - difference[..., :-1]).abs().mean() + (
        difference[..., 1:, :] - difference[..., :-1, :]
    ).abs().mean()


def reconstruction_loss(image: Tensor, target: Tensor) -> Tensor:
    """L1 for colour, squared error for PSNR, gradient L1 for edges."""
    image = image.float()
    return (image - target).abs().mean() + 2 * (image - target).square().mean() + 0.5 * gradient_l1(image, target)


class Objective:
    """Reconstruction, from clean latents or, to keep latent space smooth, from disturbed ones.

    Half of each batch gets noise relative to the latents' own spread (Yang et al., "Latent Denoising Makes Good Visual
    Tokenizers", 2025); a share of the steps decodes latents at half scale into a half-scale image (Kouzelis et al.,
    "EQ-VAE", 2025). Both make a diffusion model learn faster; the shares are ours.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        self.config = config

    def __call__(self, model: PocketAutoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
        with torch.set_grad_enabled(not self.config.decoder_only):
            latents = model.encoder(images)
        if torch.rand((), generator=generator) < self.config.half_scale_share:
            latents, images = functional.avg_pool2d(latents, 2), functional.avg_pool2d(images, 2)
        elif self.config.noise:
            strength = (torch.rand(len(latents), 1, 1, 1, generator=generator) * self.config.noise).to(latents.device)
            strength[::2] = 0
            spread = latents.detach().float().std((0, 2, 3), keepdim=True)
            latents = latents + strength * spread * torch.randn(latents.shape, generator=generator).to(latents.device)
        return reconstruction_loss(model.decoder(latents), images)


def random_crops(data: ImageDataset, indices: np.ndarray, config: AutoencoderConfig, step: int) -> Tensor:
    """A batch of crops, (B, 3, crop, crop) in [-1, 1]; of two places in an image the livelier one is taken."""
    rng = np.random.default_rng((config.seed, step))
    crops = []
    for index in rng.choice(indices, config.batch):
        image = data.images[index]
        places = rng.integers(0, (image.shape[0] - config.crop) // 4 + 1, (2, 2)) * 4
        pair = [image[y : y + config.crop, x : x + config.crop] for y, x in places]
        crop = max(pair, key=lambda item: item[::8, ::8].std())
        crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return from_uint8(np.stack(crops))


@torch.no_grad()
def psnr(model: PocketAutoencoder, data: ImageDataset, indices: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio in dB over whole images, 8-bit output."""
    values = []
    for start in range(0, len(indices), 16):
        target = data.images[indices[start : start + 16]]
        with mixed_precision():
            image = to_uint8(model(*to_device(from_uint8(target))))
        error = np.square(image.astype(np.float32) - target).mean((1, 2, 3))
        values.append(10 * np.log10(255**2 / np.maximum(error, 1e-3)))
    return float(np.concatenate(values).mean())


@torch.no_grad()
def measure_latents(model: PocketAutoencoder, data: ImageDataset, indices: np.ndarray) -> None:
    """Set the model's latent mean and standard deviation from some training images."""
    chunks = [np.sort(indices[i : i + 16]) for i in range(0, min(len(indices), 512), 16)]
    latents = torch.cat([model.encoder(*to_device(from_uint8(data.images[chunk]))) for chunk in chunks]).float()
    model.latents_mean.copy_(latents.mean((0, 2, 3), keepdim=True))
    model.latents_std.copy_(latents.std((0, 2, 3), keepdim=True).clamp_min(1e-3))


def train(config: AutoencoderConfig, workspace: Workspace, folder: Path, progress: Progress, initial: Path | None = None) -> None:
    """Train or resume in `folder`; writes the averaged weights to `folder/model` as a diffusers folder."""
    run_stage(config, folder, progress, lambda: new_stage(config, workspace.data, folder, initial))


def new_stage(config: AutoencoderConfig, data: ImageDataset, folder: Path, initial: Path | None) -> TrainingStage:
    """The autoencoder from `initial` or untrained, with its loss on random crops."""
    model = place(PocketAutoencoder.from_pretrained(initial) if initial else PocketAutoencoder())
    model.encoder.requires_grad_(not config.decoder_only)
    state = TrainingState.new(model, lr=config.lr, ema_decay=config.ema_decay, optimizer=config.optimizer)
    objective, rng = Objective(config), np.random.default_rng(config.seed)
    training, held_out = rng.permutation(data.indices(False)), rng.permutation(data.indices(True))
    singles = [i for i in held_out if data.scenes[i].kind == "single"][:96]
    validation = np.sort(np.asarray(singles if singles else held_out[:16]))

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        images = images_to_device(random_crops(data, training, config, step))
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        with mixed_precision():
            return objective(model, images, generator), {}, len(images)

    def preview(path: Path) -> dict[str, float]:
        target = data.images[validation[:24]]
        with torch.no_grad():
            output = to_uint8(model(*to_device(from_uint8(target))))
        pairs = [image for row in zip(target, output, strict=True) for image in row]
        contact_sheet(pairs, path, columns=8, side=256)
        metrics = {"psnr": psnr(model, data, validation)}
        if not config.decoder_only:
            measure_latents(model, data, training)
        model.save_pretrained(folder / "model")
        return metrics

    return TrainingStage(state=state, step=step_function, preview=preview)


def count_parameters(module: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in module.parameters())
