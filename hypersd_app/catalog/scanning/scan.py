"""Finding the user's own files: style LoRAs, diffusers folders and single-file checkpoints."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hypersd_app.catalog.accelerators import merged_recipes
from hypersd_app.catalog.builtin import FAMILIES, stable_diffusion
from hypersd_app.catalog.embeddings import HOW_TO_CONVERT
from hypersd_app.catalog.files import files_below, stamp_of
from hypersd_app.catalog.lora.contents import read_contents
from hypersd_app.catalog.lora.fit import best_fit, notes
from hypersd_app.catalog.lora.layers import known_networks
from hypersd_app.catalog.safetensors_header import TensorFile, read_header
from hypersd_app.catalog.scanning.checkpoint_kinds import INPUTS, CheckpointKind, checkpoint_kind
from hypersd_app.catalog.scanning.hashes import told_hashes
from hypersd_app.catalog.scanning.sidecars import NOTHING, Sidecar, read_sidecar
from hypersd_app.catalog.scanning.tags import commonest_tags
from hypersd_app.catalog.specs import ModelSpec, StyleSpec, WeightSource
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

OTHER_VERSIONS = ("sd_v2", "sd_2", "stable-diffusion-v2", "sd3", "stable-diffusion-v3", "flux", "Flux", "kolors", "stable-cascade")
SUFFIX = ".safetensors"
NAMES = ("ss_output_name", "modelspec.title", "title")  # under which a style's metadata say what it is called
MODEL_ENDINGS = (SUFFIX, ".ckpt")
FOUND = "From the models folder."
SD2_WIDTH = 1024  # of the text that its UNet reads
OWN_INPUTS = 4
DATA_URL = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/=]+$")
LONGEST_PREVIEW = 300_000  # characters
CLASSES = {"StableDiffusionPipeline": "sd15", "StableDiffusionXLPipeline": "sdxl"}


def scan_styles(folder: Path, family: str = "") -> Iterator[StyleSpec]:
    """Style files in `folder` and below, sorted by path; unreadable ones are logged and left out.

    A folder named like a family says so of what is in it. What A1111 keeps beside a file (previews, notes) is read too.
    """
    for path in files_below(folder, (SUFFIX,)):
        found = try_style(path, family or told_family(folder, path), read_sidecar(path))
        if isinstance(found, StyleSpec):
            yield found


def told_family(folder: Path, path: Path) -> str:
    """The family that the folder of a file below `folder` is called after, "" if it is not."""
    inside = path.relative_to(folder).parts[0]
    return inside if inside in FAMILIES else ""


def try_style(path: Path, family: str, beside: Sidecar) -> StyleSpec | ModelUnavailable | None:
    """A style's row, or why it can't be used, which is logged; None if the file is gone."""
    try:
        return _known_style(path, stamp_of(path), family, beside)
    except (ModelUnavailable, OSError) as error:
        logger.warning("style left out: %s", error)
        return error if isinstance(error, ModelUnavailable) else None


@lru_cache(maxsize=8192)  # looking again at thousands of files reads only those that changed
def _known_style(path: Path, _version: tuple[int, ...], family: str, beside: Sidecar) -> StyleSpec:
    return read_style(path, family, beside)


def read_style(path: Path, family: str = "", beside: Sidecar = NOTHING, bases: Iterable[ModelSpec] = ()) -> StyleSpec:
    """A style's row from its header. Raises ModelUnavailable if it can't be applied or its family can't be told.

    `family` is what its folder says: layers that only another family has outweigh it. `bases` are models it may be for.
    """
    header = read_header(path)
    contents = read_contents(header)
    found = contents.family or family or _told_family(header) or beside.family
    if not found:
        raise ModelUnavailable(f"{path.name}: cannot tell which model this style is for.")
    fitting = best_fit(contents, known_networks(model for model in bases if model.family == found))
    metadata = header.metadata
    return StyleSpec(
        name=path.stem,
        title=first(metadata, "title", "modelspec.title", "ss_output_name") or path.stem.replace("_", " "),
        family=found,
        path=path,
        trigger=first(metadata, "trigger", "trigger_words", "modelspec.trigger_phrase") or beside.trigger,
        preview=data_url(first(metadata, "preview", "modelspec.thumbnail")) or beside.preview,
        rank=contents.rank,
        modules=contents.layers,
        notes=notes(contents, fitting),
        hashes=told_hashes(metadata.get("sshs_model_hash", "")),
        tags=commonest_tags(metadata),
        aliases=tuple(dict.fromkeys(name for key in NAMES if (name := metadata.get(key, "").strip()))),
    )


def _told_family(header: TensorFile) -> str:
    """The family that a file says it is for. Raises ModelUnavailable if it says one that does not run here."""
    metadata = header.metadata
    named = metadata.get("family") or metadata.get("model") or ""
    if named in FAMILIES:
        return named
    version = first(metadata, "ss_base_model_version", "modelspec.architecture")
    if version.startswith(OTHER_VERSIONS) or metadata.get("ss_v2") == "True":
        raise ModelUnavailable(f"{header.path.name} is made for {version or 'SD2.x'}, which does not run here.")
    if version.startswith(("sdxl", "stable-diffusion-xl")):
        return "sdxl"
    return "sd15" if version.startswith(("sd_v1", "sd_1", "stable-diffusion-v1")) else ""


def first(metadata: Mapping[str, str], *keys: str) -> str:
    """The first of some entries that says anything."""
    return next((metadata[key].strip() for key in keys if metadata.get(key, "").strip()), "")


def data_url(text: str) -> str:
    """An image's data URL, "" for anything else: files come from anywhere, and pages show this."""
    return text if DATA_URL.match(text) and len(text) < LONGEST_PREVIEW else ""


def scan_models(folder: Path, below: Iterable[Path] = ()) -> Iterator[ModelSpec]:
    """Diffusers folders and checkpoints directly in `folder`, and all checkpoints in the folders `below`; others are logged."""
    folders = sorted(path.parent for path in folder.glob("*/model_index.json")) if folder.is_dir() else []
    direct = files_below(folder, MODEL_ENDINGS, below=False)
    deep = (path for place in below for path in files_below(place, MODEL_ENDINGS))
    for path in dict.fromkeys([*folders, *direct, *deep]):
        try:
            yield _folder_model(path) if path.is_dir() else checkpoint_model(path)
        except (ModelUnavailable, OSError) as error:
            logger.warning("model left out: %s", error)


def _folder_model(path: Path) -> ModelSpec:
    row = stable_diffusion(path.name, spaced(path.name), folder_family(path), WeightSource(path=path), note=FOUND)
    return replace(row, recipes=(*merged_recipes(path.name), *row.recipes))


def checkpoint_model(path: Path) -> ModelSpec:
    """The row of a single-file checkpoint. Raises ModelUnavailable, with its right name, for what does not run here."""
    if path.suffix.lower() != SUFFIX:
        raise ModelUnavailable(f"{path.name} {HOW_TO_CONVERT}")
    kind = _known_kind(path, stamp_of(path))
    row = stable_diffusion(path.stem, spaced(path.stem), kind.family, WeightSource(path=path), note=f"{FOUND} {kind.note}".strip())
    return replace(row, recipes=(*merged_recipes(path.stem), *row.recipes), schedule=kind.schedule)


@lru_cache(maxsize=4096)
def _known_kind(path: Path, _version: tuple[int, ...]) -> CheckpointKind:
    return checkpoint_kind(path)


def spaced(name: str) -> str:
    """A file's name as a title."""
    return name.replace("_", " ")


def folder_family(folder: Path) -> str:
    """The family of a diffusers folder, by its pipeline class. Raises ModelUnavailable for one that can't run here."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        class_name = str(index["_class_name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelUnavailable(f"{folder.name}/model_index.json cannot be read: {error}") from error
    if class_name not in CLASSES:
        raise ModelUnavailable(f"{folder.name} is a {class_name}; only {', '.join(CLASSES)} run from a folder.")
    _check_unet(folder)
    return CLASSES[class_name]


def _check_unet(folder: Path) -> None:
    """Raise ModelUnavailable for a folder whose UNet is of another kind than its class says."""
    try:
        config = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        width, inputs = config.get("cross_attention_dim"), config.get("in_channels", 4)
    except (OSError, ValueError, AttributeError, RecursionError):
        return  # a folder of the Hub's is read when it is used
    if width == SD2_WIDTH:
        raise ModelUnavailable(f"{folder.name} is an SD2.x model, which does not run here.")
    if inputs != OWN_INPUTS:
        raise ModelUnavailable(f"{folder.name} is {INPUTS.get(inputs, f'a model of {inputs} inputs')}, which does not run here.")
