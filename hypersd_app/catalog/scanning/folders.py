"""Where models, styles and embeddings lie: the folders of ComfyUI and A1111, used where they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hypersd_app.settings import Settings

logger = logging.getLogger(__name__)

EXTRA_PATHS = "extra_model_paths.yaml"  # ComfyUI's list of folders that other programs keep
LARGEST_LIST = 256 * 1024  # bytes
CHECKPOINTS = ("Stable-diffusion", "checkpoints")  # of A1111's and ComfyUI's `models`
STYLES = ("Lora", "LyCORIS", "loras")
EMBEDDINGS = ("embeddings",)
KINDS = {"checkpoints": "checkpoints", "loras": "styles", "lycoris": "styles", "embeddings": "embeddings"}  # in ComfyUI's list


@dataclass(frozen=True)
class Folders:
    """Folders by what is looked for in them, each with all below it."""

    checkpoints: tuple[Path, ...]
    styles: tuple[Path, ...]
    embeddings: tuple[Path, ...]


def model_folders(settings: Settings) -> Folders:
    """The folders of these settings, and those that `extra_model_paths.yaml` in or beside the models folder lists."""
    models = settings.models
    found = {
        "checkpoints": [models / name for name in CHECKPOINTS],
        "styles": [settings.styles, *(models / name for name in STYLES)],
        "embeddings": [*(models / name for name in EMBEDDINGS), models.parent / EMBEDDINGS[0]],
    }
    for path in (models / EXTRA_PATHS, models.parent / EXTRA_PATHS):
        for kind, folder in extra_folders(path):
            found[kind].append(folder)
    return Folders(**{kind: tuple(dict.fromkeys(folders)) for kind, folders in found.items()})


def extra_folders(path: Path) -> Iterator[tuple[str, Path]]:
    """(kind, folder) of every folder that ComfyUI's list names; nothing without one. What can't be read is logged."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise ValueError(f"longer than {LARGEST_LIST} bytes")
        sections = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        logger.warning("%s cannot be read: %s", path, str(error).splitlines()[0])
        return
    for section in sections.values() if isinstance(sections, Mapping) else ():
        if isinstance(section, Mapping):
            yield from _folders(section, path.parent)


def _folders(section: Mapping[Any, Any], beside: Path) -> Iterator[tuple[str, Path]]:
    """Folders of one program; relative ones begin at its base path, and that where the list lies."""
    base = section.get("base_path")
    root = beside / Path(base).expanduser() if isinstance(base, str) else beside
    for name, lines in section.items():
        if name in KINDS and isinstance(lines, str):
            yield from ((KINDS[name], root / line.strip()) for line in lines.splitlines() if line.strip())
