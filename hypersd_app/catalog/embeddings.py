"""Textual-inversion embeddings on this machine: a few vectors that stand for a word of the prompt."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from hypersd_app.catalog.files import Stamp, files_below, stamp_of
from hypersd_app.catalog.lora.foreign import is_embedding
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import EmbeddingSpec
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

PICKLED = (".pt", ".bin", ".ckpt", ".pth")
MOST_VECTORS = 75  # as many as a chunk has room for
FAMILIES: Mapping[frozenset[int], str] = {frozenset({768}): "sd15", frozenset({768, 1280}): "sdxl"}
HOW_TO_CONVERT = (
    "is a pickled file, which may hold programs and is not opened. Open it once in ComfyUI or A1111 and save it as .safetensors, "
    "or look for one on the page that you have it from."
)


def scan_embeddings(folder: Path) -> Iterator[EmbeddingSpec]:
    """Embeddings in `folder` and below, sorted by path; what is none, or pickled, is logged and left out."""
    for path in files_below(folder, (".safetensors", *PICKLED)):
        try:
            if path.suffix.lower() in PICKLED:
                raise ModelUnavailable(f"{path.name} {HOW_TO_CONVERT}")
            yield read_embedding_row(path, stamp_of(path))
        except (ModelUnavailable, OSError) as error:
            logger.warning("embedding left out: %s", error)


def read_embedding_row(path: Path, stamp: Stamp = ()) -> EmbeddingSpec:
    """An embedding's row from its header. Raises ModelUnavailable for anything else, by its right name."""
    shapes = read_header(path).shapes
    if not is_embedding(shapes):
        raise ModelUnavailable(f"{path.name} is no textual-inversion embedding.")
    counts = {shape[0] if len(shape) == 2 else 1 for shape in shapes.values()}
    widths = frozenset(shape[-1] for shape in shapes.values())
    if widths not in FAMILIES:
        told = " and ".join(str(width) for width in sorted(widths))
        raise ModelUnavailable(
            f"{path.name} is an embedding for another model (width {told}): here are SD1.5 (768) and SDXL's two."
        )
    if len(counts) != 1 or not 0 < max(counts) <= MOST_VECTORS:
        raise ModelUnavailable(f"{path.name} is an embedding of {max(counts)} vectors; 1 to {MOST_VECTORS} are taken.")
    return EmbeddingSpec(path.stem, FAMILIES[widths], path, counts.pop(), stamp)
