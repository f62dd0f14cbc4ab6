"""From placed icons to pixels: one SVG a scene, rendered by resvg."""

from __future__ import annotations

import io
import re

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.training.data.icons.sources import Icon

_IDS = re.compile(r'\bid="([^"]+)"')
_USES = re.compile(r"""(\bid="|href="#|url\(['"]?#)([^"')]+)(?=["')])""")


def own_ids(body: str, prefix: str) -> str:
    """Prefix every id of an SVG body, so that gradients of two icons in one image never mix."""
    names = set(_IDS.findall(body))
    if not names:
        return body
    return _USES.sub(lambda use: f"{use.group(1)}{prefix}{use.group(2)}" if use.group(2) in names else use.group(0), body)


def nested_svg(icon: Icon, body: str, x: float, y: float, size: float, index: int) -> str:
    """One icon at (x, y) with its longer side `size`, in units of the outer image."""
    return (
        f'<svg x="{x:.3f}" y="{y:.3f}" width="{size:.3f}" height="{size:.3f}" '
        f'viewBox="0 0 {icon.width:g} {icon.height:g}">{own_ids(body, f"p{index}-")}</svg>'
    )


def render_svg(parts: list[str], size: int) -> NDArray[np.uint8]:
    """Render parts placed on a 256-unit square to (size, size, 4) uint8, straight alpha."""
    document = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{size}" height="{size}" viewBox="0 0 256 256">{"".join(parts)}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=document))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a straight-alpha image on white: (H, W, 4) uint8 to (H, W, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def on_white_with_alpha(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Network input for a straight-alpha image: RGB composited on white, and alpha, (H, W, 4) uint8."""
    return np.dstack([on_white(rgba), rgba[..., 3]])
