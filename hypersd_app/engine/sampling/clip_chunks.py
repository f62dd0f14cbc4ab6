"""Chunks of weighted tokens to embeddings, as A1111 and as ComfyUI compute them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hypersd_app.prompts.chunks import Chunk, TokenTable, Vector

Vectors = Mapping[str, Tensor]  # a textual inversion's rows for one encoder, (n, width), by its name


@dataclass(frozen=True)
class ClipEncoder:
    """One CLIP text encoder with its tokenizer. `penultimate` is SDXL's way: the last layer but one, without the last norm."""

    tokenizer: Any
    module: Any
    penultimate: bool

    @cached_property
    def table(self) -> TokenTable:
        """What the chunks are made by."""
        tokenizer, vocabulary = self.tokenizer, self.tokenizer.get_vocab()
        return TokenTable(
            ids=lambda text: tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"],
            word=lambda word: vocabulary.get(f"{word}</w>"),
            start=tokenizer.bos_token_id,
            end=tokenizer.eos_token_id,
            pad=tokenizer.pad_token_id,
            length=tokenizer.model_max_length,
            comma=vocabulary.get(",</w>"),
        )

    def run(self, chunk: Chunk, vectors: Vectors, clip_skip: int | None) -> tuple[Tensor, Tensor | None]:
        """Hidden states (1, L, D) and, where there is a projection, the pooled text (1, P); weights are not used here."""
        ids = [[0 if isinstance(token, Vector) else token for token in chunk.tokens]]
        skip = clip_skip or (2 if self.penultimate else 1)
        with self._with_vectors(chunk, vectors):
            inputs = torch.tensor(ids, device=self.module.device)
            found = self.module(inputs, output_hidden_states=skip > 1 or self.penultimate)
        if skip == 1 and not self.penultimate:
            return found.last_hidden_state, getattr(found, "text_embeds", None)
        hidden = found.hidden_states[-min(skip, len(found.hidden_states))]
        return (hidden if self.penultimate else self._last_norm(hidden)), getattr(found, "text_embeds", None)

    def _last_norm(self, hidden: Tensor) -> Tensor:
        norm: Tensor = self.module.get_submodule(
            next(name for name, _ in self.module.named_modules() if name.endswith("final_layer_norm"))
        )(hidden)
        return norm

    @contextmanager
    def _with_vectors(self, chunk: Chunk, vectors: Vectors) -> Iterator[None]:
        """Rows of textual inversions in place of tokens, while the block runs."""
        places = [(at, token) for at, token in enumerate(chunk.tokens) if isinstance(token, Vector)]
        if not places:
            yield
            return

        def replaced(_module: Any, _inputs: Any, found: Tensor) -> Tensor:
            found = found.clone()
            for at, token in places:
                found[0, at] = vectors[token.embedding][token.index].to(found)
            return found

        handle = self.module.get_input_embeddings().register_forward_hook(replaced)
        try:
            yield
        finally:
            handle.remove()


Run = Callable[[Chunk], tuple[Tensor, Tensor | None]]


def a1111_weighted(chunks: Sequence[Chunk], run: Run) -> tuple[Tensor, Tensor | None]:
    """Every token's numbers times its weight, then the chunk's mean brought back to what it was. Pooled of the first chunk."""
    found = [run(chunk) for chunk in chunks]
    return torch.cat([_scaled(hidden, chunk) for (hidden, _), chunk in zip(found, chunks, strict=True)], dim=1), found[0][1]


def _scaled(hidden: Tensor, chunk: Chunk) -> Tensor:
    if chunk.plain:
        return hidden
    weighted = hidden * torch.tensor(chunk.weights, device=hidden.device, dtype=hidden.dtype).view(1, -1, 1)
    return weighted * (hidden.mean() / weighted.mean())


def comfyui_weighted(chunks: Sequence[Chunk], run: Run, empty: Chunk) -> tuple[Tensor, Tensor | None]:
    """Every token as far from an empty prompt's at its place as its weight says. Pooled of the first chunk."""
    found = [run(chunk) for chunk in chunks]
    hidden = torch.cat([rows for rows, _ in found], dim=1)
    if all(chunk.plain for chunk in chunks):
        return hidden, found[0][1]
    origin = run(empty)[0].repeat(1, len(chunks), 1)
    weights = torch.tensor([weight for chunk in chunks for weight in chunk.weights], device=hidden.device, dtype=hidden.dtype)
    return torch.lerp(origin, hidden, weights.view(1, -1, 1)), found[0][1]
