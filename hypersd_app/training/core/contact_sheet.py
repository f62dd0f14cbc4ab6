"""Contact sheets: rows of images on white, with captions when there are any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] to (B, H, W, 3) uint8."""
    scaled = (images.detach().float().clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def from_uint8(images: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 to float32 (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(images, order="C")).permute(0, 3, 1, 2).float() / 127.5 - 1


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], path: Path, columns: int = 8, labels: Sequence[str] = (), side: int = 160
) -> None:
    """Save equally large images as a grid of `side`-px tiles, each with its label underneath."""
    foot = 26 if labels else 2
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + 4), rows * (side + foot + 4)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for index, image in enumerate(images):
        x, y = index % columns * (side + 4) + 2, index // columns * (side + foot + 4) + 2
        sheet.paste(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS), (x, y))
        if labels:
            draw.multiline_text((x, y + side), _wrap(labels[index], side // 6), fill="#333", font=font, spacing=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _wrap(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    cut = text.rfind(" ", 0, width)
    cut = cut if cut > 0 else width
    return text[:cut] + "\n" + text[cut:].strip()[:width]
