"""The vectors of textual-inversion embeddings."""

from __future__ import annotations

from functools import lru_cache

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hypersd_app.catalog.specs import EmbeddingSpec
from hypersd_app.errors import ModelUnavailable


@lru_cache(maxsize=64)  # a few rows each
def embedding_vectors(embedding: EmbeddingSpec, width: int) -> Tensor:
    """Those for a text encoder of so many numbers a token, (n, width). Raises ModelUnavailable."""
    try:
        tensors = load_file(embedding.path)
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(f"{embedding.path.name} cannot be read as an embedding: {error}") from error
    fitting = [rows.reshape(-1, width) for rows in tensors.values() if rows.shape[-1] == width]
    if not fitting or len(fitting[0]) != embedding.vectors:
        raise ModelUnavailable(f"The embedding {embedding.name} does not fit this model: it has no vectors of width {width}.")
    return fitting[0]
