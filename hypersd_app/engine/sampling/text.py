"""Prompts to embeddings, and the cache that makes the second time free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import transformers
from cachetools import LRUCache
from torch import Tensor, nn

from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.loading.embeddings import embedding_vectors
from hypersd_app.engine.loading.lora import StyleKey, StylePatch
from hypersd_app.engine.sampling.clip_chunks import ClipEncoder, a1111_weighted, comfyui_weighted
from hypersd_app.prompts.chunks import Chunk, Vector
from hypersd_app.prompts.wording import A1111, COMFYUI, Wording


@dataclass(frozen=True)
class PromptKey:
    """Everything that changes an embedding: the encoder, the styles acting on it, and the words."""

    encoder: object
    styles: tuple[tuple[StyleKey, float], ...]
    negative: bool
    wording: Wording


class PromptEncoder:
    """The text half of one model: one tokenizer and encoder, or SDXL's two.

    Words without weights become what diffusers' `encode_prompt` makes of them, for as many chunks as CLIP needs. An encoder that is
    none of CLIP's (Pocket's) reads one chunk: words that are too many are cut, and triggers kept.
    """

    def __init__(self, tokenizers: list[Any], encoders: list[Any], zero_empty_negative: bool = False) -> None:
        self.tokenizers = tokenizers
        self.encoders = encoders
        self._zero_empty_negative = zero_empty_negative
        double = len(encoders) > 1
        self._clip = [ClipEncoder(row, module, double) for row, module in zip(tokenizers, encoders, strict=True)]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Encoders by the names LoRA files use."""
        return dict(zip(("text_encoder", "text_encoder_2"), self.encoders, strict=False))

    @torch.inference_mode()
    def __call__(self, words: str | Wording, negative: bool = False) -> Conditioning:
        """Embedding of one prompt, without time ids. `negative` marks the unguided half's text."""
        wording = Wording(words) if isinstance(words, str) else words
        if not isinstance(self.tokenizers[0], transformers.CLIPTokenizer):
            outputs = [self._run(i, wording) for i in range(len(self.encoders))]
            found = [(output.hidden_states[-2] if len(outputs) > 1 else output[0], output[0]) for output in outputs]
        else:
            found = [self._chunked(encoder, wording) for encoder in self._clip]
        if len(found) == 1:
            return Conditioning(found[0][0].float())
        hidden = torch.cat([rows for rows, _ in found], dim=-1).float()
        pooled = found[-1][1].float()
        if negative and not wording.whole and self._zero_empty_negative:
            return Conditioning(torch.zeros_like(hidden), torch.zeros_like(pooled))
        return Conditioning(hidden, pooled)

    def _chunked(self, encoder: ClipEncoder, wording: Wording) -> tuple[Tensor, Any]:
        table = encoder.table
        chunks = wording.chunks(table)
        width = encoder.module.config.hidden_size
        named = {token.embedding for chunk in chunks for token in chunk.tokens if isinstance(token, Vector)}
        vectors = {row.name: embedding_vectors(row, width) for row in wording.embeddings if row.name in named}

        # A1111 leaves SDXL at the layer it was trained with, whatever a recipe says.
        skip = None if wording.grammar == A1111 and encoder.penultimate else wording.clip_skip

        def run(chunk: Chunk) -> tuple[Tensor, Tensor | None]:
            return encoder.run(chunk, vectors, skip)

        if wording.grammar == COMFYUI:
            return comfyui_weighted(chunks, run, table.filled([]))
        return a1111_weighted(chunks, run)

    def _run(self, index: int, wording: Wording) -> Any:
        tokenizer, encoder = self.tokenizers[index], self.encoders[index]
        text = fitting(wording, tokenizer)
        tokens = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
        mask = tokens.attention_mask.to(encoder.device) if getattr(encoder.config, "use_attention_mask", False) else None
        return encoder(tokens.input_ids.to(encoder.device), attention_mask=mask, output_hidden_states=len(self.encoders) > 1)


def fitting(wording: Wording, tokenizer: Any) -> str:
    """Words and triggers as one text; if they are more than `tokenizer` takes, the last of the words go, and the triggers stay."""
    if not wording.triggers:
        return wording.text
    room = tokenizer.model_max_length
    over = len(tokenizer(wording.whole, verbose=False)["input_ids"]) - room
    if over <= 0:
        return wording.whole
    read = tokenizer(wording.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    kept = read[: max(0, len(read) - over)]
    return replace(wording, text=wording.text[: kept[-1][1]] if kept else "").whole


class PromptCache:
    """The last embeddings, by key; thread-safe."""

    def __init__(self, capacity: int = 512) -> None:
        self._entries: LRUCache[PromptKey, Conditioning] = LRUCache(capacity)
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(self, key: PromptKey, encode: Callable[[], Conditioning]) -> Conditioning:
        """The embedding for `key`, computed by `encode` if it isn't there."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self.hits += 1
                return found
        made = encode()
        with self._lock:
            self.misses += 1
            self._entries[key] = made
        return made

    def clear(self) -> None:
        """Forget all embeddings."""
        with self._lock:
            self._entries.clear()


class TextPart:
    """A prompt encoder with the styles that may act on it. Use under the device lock."""

    def __init__(self, encoder: PromptEncoder, arrive: Callable[[], None]) -> None:
        self.encoder = encoder
        self._arrive = arrive
        self._patches = {name: StylePatch(module) for name, module in encoder.modules.items()}

    @property
    def bytes(self) -> int:
        """Memory of the weights kept for taking styles off again."""
        return sum(patch.bytes for patch in self._patches.values())

    def embed(self, key: object, cache: PromptCache, wording: Wording, negative: bool, styles: Any) -> Conditioning:
        """The embedding of one prompt; the encoder is patched and run only if the cache doesn't have it."""
        acting = [(style, weight, factors) for style, weight, factors in styles if any(factors[name] for name in self._patches)]
        names = tuple((style, weight) for style, weight, _ in acting)

        def encode() -> Conditioning:
            for component, patch in self._patches.items():
                patch.set(names, [(factors[component], weight) for _, weight, factors in acting])
            self._arrive()
            return self.encoder(wording, negative)

        return cache.get(PromptKey(key, names, negative, wording), encode)


def size_ids(width: int, height: int, like: Tensor) -> Tensor:
    """SDXL's (original size, crop corner, target size) of an uncropped image, (1, 6)."""
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=like.dtype, device=like.device)
