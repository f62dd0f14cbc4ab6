"""What other programs keep beside a style file: A1111's previews and notes, and the notes of its Civitai helper."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

PREVIEWS = (".preview.png", ".png", ".preview.jpg", ".jpg", ".jpeg", ".webp")
PREVIEW_SIDE = 256  # px
LARGEST_NOTE = 1024 * 1024  # bytes
LARGEST_PREVIEW = 32 * 1024 * 1024  # bytes
MOST_PIXELS = 50_000_000
FAMILIES = {"SD1": "sd15", "SD 1.5": "sd15", "SD 1.4": "sd15", "SDXL": "sdxl", "SDXL 1.0": "sdxl"}


@dataclass(frozen=True)
class Sidecar:
    """What is said beside a file; "" where nothing is. `preview` is a data URL."""

    trigger: str = ""
    family: str = ""
    preview: str = ""


NOTHING = Sidecar()


def read_sidecar(path: Path) -> Sidecar:
    """What lies beside the style file `path`. What can't be read counts as not there."""
    notes, civitai = _json(path.with_suffix(".json")), _json(path.with_suffix(".civitai.info"))
    words = civitai.get("trainedWords")
    trained = ", ".join(str(word) for word in words[:3]) if isinstance(words, list) else ""
    version = str(notes.get("sd version") or civitai.get("baseModel") or "")
    return Sidecar(str(notes.get("activation text") or trained).strip(), FAMILIES.get(version, ""), _preview(path))


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_NOTE:
            return {}
        found = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows begin a file with a mark
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _preview(path: Path) -> str:
    for ending in PREVIEWS:
        image = path.with_name(path.stem + ending)
        try:
            return _thumbnail(image, image.stat().st_mtime_ns)
        except OSError:
            continue
    return ""


@lru_cache(maxsize=4096)
def _thumbnail(path: Path, _changed: int) -> str:
    """A small JPEG as data URL, "" for what is no image or too large; remembered until the file changes."""
    try:
        if path.stat().st_size > LARGEST_PREVIEW:
            return ""
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                return ""
            image.draft("RGB", (PREVIEW_SIDE, PREVIEW_SIDE))
            small = image.convert("RGB")
    except (UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
