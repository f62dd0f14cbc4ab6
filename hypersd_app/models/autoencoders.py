"""Pocket's autoencoders, whichever a folder holds: of images on white, or of stickers with alpha."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.sticker_autoencoder import CHANNELS, StickerAutoencoder

PocketVae = PocketAutoencoder | StickerAutoencoder
POCKET_AUTOENCODERS: dict[str, type[PocketVae]] = {kind.__name__: kind for kind in (PocketAutoencoder, StickerAutoencoder)}


def load_autoencoder(folder: Path) -> PocketVae:
    """The autoencoder that a diffusers folder's config.json names. Raises ValueError for one that is not Pocket's."""
    name = PocketAutoencoder.load_config(folder).get("_class_name")
    if name not in POCKET_AUTOENCODERS:
        raise ValueError(f"_class_name: {name} in {folder}, allowed {', '.join(POCKET_AUTOENCODERS)}")
    return POCKET_AUTOENCODERS[name].from_pretrained(folder)


def image_channels(autoencoder: PocketVae) -> int:
    """Channels that its encoder reads: RGB on white, or alpha too."""
    return CHANNELS if isinstance(autoencoder, StickerAutoencoder) else 3


def rgb_of(autoencoder: PocketVae, latents: Tensor) -> Tensor:
    """Latents (B, 16, h, w) to images as they look on white, (B, 3, 16 h, 16 w) in about [-1, 1]."""
    return autoencoder.decode(latents, return_dict=False)[0][:, :3]
