"""Autoencoder for stickers: RGBA images to 16x16 latents, and back at any size through a palette of colour planes."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.autoencoder import PointDistribution, ResidualBlock, build_encoder

REDUCTION = 16  # image pixels per latent, each way
CHANNELS = 4  # RGB as it looks on white, and alpha
# Shares are trained at twice the sharpness of plain logits: edges come out crisp before weights have grown.
SHARPNESS = 2.0


class AttentionBlock(nn.Module):
    """A depthwise 5x5 convolution, self-attention over all places, and an MLP: what a patch is depends on the whole drawing.

    Begins as the identity, so that it can be added to a trained decoder.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.dwconv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.attention_norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.attention_out = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 3 * channels), nn.GELU(), nn.Linear(3 * channels, channels))
        for layer in (self.dwconv, self.attention_out, self.mlp[2]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        x = x + self.dwconv(x)
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.attention_norm(tokens)).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.attention_out(mixed)
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, (height, -1))


def upsample(channels: int, new_channels: int) -> nn.Sequential:
    """Twice the side by pixel shuffle."""
    return nn.Sequential(nn.Conv2d(channels, 4 * new_channels, 1), nn.PixelShuffle(2))


class PaletteDecoder(nn.Module):
    """Latents to images as a mixture of `planes` colour fields.

    Each plane has a smooth colour (a 32x32 map) and every pixel a share of each plane (softmax over 256x256 maps). Both are
    interpolated to the wanted size before they are mixed, so edges stay as crisp at 1024 px as at 256, and an uncertain
    latent moves an edge or tints a plane instead of mottling a surface. Sizes are for latents of 16x16.
    """

    def __init__(self, latent_channels: int, channels: tuple[int, int, int], planes: int, heads: int) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.planes = planes
        self.coarse = nn.Sequential(
            nn.Conv2d(latent_channels + 1, coarse, 3, padding=1),
            ResidualBlock(coarse),
            AttentionBlock(coarse, heads),
            AttentionBlock(coarse, heads),
            ResidualBlock(coarse),
            AttentionBlock(coarse, heads),
            ResidualBlock(coarse),
            AttentionBlock(coarse, heads),
        )
        self.middle = nn.Sequential(upsample(coarse, middle), ResidualBlock(middle), ResidualBlock(middle))
        self.fine = nn.Sequential(upsample(middle, fine), ResidualBlock(fine), ResidualBlock(fine))
        self.colours = nn.Sequential(nn.ReLU(), nn.Conv2d(middle, CHANNELS * planes, 3, padding=1))
        self.shares = nn.Sequential(nn.ReLU(), nn.Conv2d(fine, 16 * planes, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, latents: Tensor, noise_level: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (B, 4, *size) of latents (B, C, h, w) that are off by `noise_level` (B, 1, 1, 1) standard deviations."""
        level = noise_level.to(latents.dtype).expand(-1, 1, *latents.shape[2:])
        middle = self.middle(self.coarse(torch.cat([latents, level], 1)))
        colours, shares = self.colours(middle).float(), self.shares(self.fine(middle)).float()
        if shares.shape[2:] != size:
            shares = functional.interpolate(shares, size=size, mode="bilinear")
        shares = (SHARPNESS * shares).softmax(1)
        colours = functional.interpolate(colours, size=size, mode="bilinear")
        image = shares[:, :1] * colours[:, :CHANNELS]
        for plane in range(1, self.planes):  # one by one: the product of all at once would be eight images in memory
            image = image + shares[:, plane : plane + 1] * colours[:, CHANNELS * plane : CHANNELS * (plane + 1)]
        return image


class StickerAutoencoder(ModelMixin, ConfigMixin):
    """A deterministic RGBA autoencoder, 16x smaller each way, shaped like a diffusers VAE.

    Images are float, (B, 4, H, W) in [-1, 1]: RGB as it looks on white, and alpha; premultiplied RGB is
    `rgb + alpha` scaled to [0, 1] (see `premultiplied`). Latents are float, (B, C, H/16, W/16); a BatchNorm without weights
    keeps each channel at mean 0 and standard deviation 1, since noise relative to the latents' own spread would otherwise
    reward an encoder for growing them without end.
    """

    @register_to_config
    def __init__(  # noqa: PLR0913 - a diffusers configuration
        self,
        latent_channels: int = 16,
        patch: int = 4,
        channels: tuple[int, int, int] = (80, 128, 224),
        encoder_layers: tuple[int, int, int] = (1, 2, 2),
        planes: int = 8,
        attention_heads: int = 4,
        decoding_noise: float = 0.2,  # what a UNet's prediction is off by: the noise level that `decode` tells the decoder
        block_out_channels: tuple[int, ...] = (80, 80, 80, 128, 224),  # its length gives pipelines the factor 2^4
        scaling_factor: float = 1.0,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(CHANNELS, latent_channels, patch, channels, encoder_layers)
        self.norm = nn.BatchNorm2d(latent_channels, eps=1e-4, momentum=0.02, affine=False)
        self.decoder = PaletteDecoder(latent_channels, channels, planes, attention_heads)

    def latents(self, images: Tensor) -> Tensor:
        """Normalised latents of images (B, 4, H, W); in training mode with the batch's own statistics."""
        return self.norm(self.encoder(images).float())

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[PointDistribution]:
        """Images to normalised latents, as diffusers' VAEs answer."""
        distribution = PointDistribution(self.latents(x))
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(
        self,
        z: Tensor,
        return_dict: bool = True,
        generator: torch.Generator | None = None,
        size: tuple[int, int] | None = None,
    ) -> DecoderOutput | tuple[Tensor]:
        """Normalised latents to images of `size` (height, width), by default 16 pixels per latent.

        `generator` is there because pipelines pass one.
        """
        level = torch.full((len(z), 1, 1, 1), self.config.decoding_noise, device=z.device)
        image = self.decoder(z, level, size or (REDUCTION * z.shape[2], REDUCTION * z.shape[3]))
        return DecoderOutput(sample=image) if return_dict else (image,)

    def forward(self, x: Tensor) -> Tensor:
        """Images through the bottleneck and back."""
        return self.decode(self.latents(x), return_dict=False)[0]


def premultiplied(images: Tensor) -> tuple[Tensor, Tensor]:
    """Premultiplied RGB (B, 3, H, W) and alpha (B, 1, H, W) in [0, 1] of the autoencoder's images in [-1, 1]."""
    values = ((images + 1) / 2).clamp(0, 1)
    alpha = values[:, 3:]
    return (values[:, :3] - (1 - alpha)).clamp(min=0).minimum(alpha), alpha
