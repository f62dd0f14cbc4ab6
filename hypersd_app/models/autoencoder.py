"""Pocket's autoencoder: 256-px images to 16x16 latents and back, without full-resolution convolutions."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn


class PointDistribution:
    """An encoder output without noise, in the shape that diffusers' pipelines expect of a VAE."""

    def __init__(self, latents: Tensor) -> None:
        self.mean = latents

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The latents themselves."""
        return self.mean

    def mode(self) -> Tensor:
        """The latents themselves."""
        return self.mean


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip. No normalisation: on a CPU it costs more time than it saves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(nn.functional.relu(self.first(nn.functional.relu(x))))


def build_encoder(
    in_channels: int, latent_channels: int, patch: int, channels: tuple[int, ...], layers: tuple[int, ...]
) -> nn.Sequential:
    """Images to raw latents: a pixel-unshuffle by `patch`, then half the side from each level to the next."""
    encoder: list[nn.Module] = [nn.PixelUnshuffle(patch), nn.Conv2d(in_channels * patch**2, channels[0], 3, padding=1)]
    for level, width in enumerate(channels):
        if level:
            encoder.append(nn.Conv2d(channels[level - 1], width, 4, stride=2, padding=1))
        encoder += [ResidualBlock(width) for _ in range(layers[level])]
    return nn.Sequential(*encoder, nn.ReLU(), nn.Conv2d(channels[-1], latent_channels, 3, padding=1))


class PocketAutoencoder(ModelMixin, ConfigMixin):
    """A deterministic autoencoder, 16x smaller each way, shaped like a diffusers VAE.

    Images are float, (B, 3, H, W) in [-1, 1]; latents float, (B, C, H/16, W/16), each channel with mean 0 and
    standard deviation 1 over the training images (`latents_mean` and `latents_std` hold the measured values).
    """

    @register_to_config
    def __init__(  # noqa: PLR0913 - a diffusers configuration
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 16,
        patch: int = 4,
        channels: tuple[int, ...] = (80, 128, 224),
        encoder_layers: tuple[int, ...] = (1, 2, 2),
        decoder_layers: tuple[int, ...] = (2, 2, 3),
        block_out_channels: tuple[int, ...] = (80, 80, 80, 128, 224),  # its length gives pipelines the factor 2^4
        scaling_factor: float = 1.0,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(in_channels, latent_channels, patch, channels, encoder_layers)

        decoder: list[nn.Module] = [nn.Conv2d(latent_channels, channels[-1], 3, padding=1)]
        for level in reversed(range(len(channels))):
            decoder += [ResidualBlock(channels[level]) for _ in range(decoder_layers[level])]
            if level:
                decoder += [nn.Conv2d(channels[level], 4 * channels[level - 1], 1), nn.PixelShuffle(2)]
        decoder += [nn.ReLU(), nn.Conv2d(channels[0], out_channels * patch**2, 3, padding=1), nn.PixelShuffle(patch)]
        self.decoder = nn.Sequential(*decoder)
        self.register_buffer("latents_mean", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("latents_std", torch.ones(1, latent_channels, 1, 1))

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[PointDistribution]:
        """Images to normalised latents."""
        latents = (self.encoder(x) - self.latents_mean) / self.latents_std
        distribution = PointDistribution(latents)
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Normalised latents to images; `generator` is there because pipelines pass one."""
        image = self.decoder(z * self.latents_std + self.latents_mean)
        return DecoderOutput(sample=image) if return_dict else (image,)

    def forward(self, x: Tensor) -> Tensor:
        """Images through the bottleneck and back."""
        return self.decoder(self.encoder(x))
