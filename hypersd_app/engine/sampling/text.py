"""Prompts to embeddings, and the cache that makes the second time free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor, nn

from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.loading.lora import StyleKey, StylePatch


@dataclass(frozen=True)
class PromptKey:
    """Everything that changes an embedding: the encoder, the styles acting on it, and the words."""

    encoder: object
    styles: tuple[tuple[StyleKey, float], ...]
    negative: bool
    text: str


class PromptEncoder:
    """The text half of one model: one tokenizer and encoder, or SDXL's two. As diffusers' `encode_prompt` computes."""

    def __init__(self, tokenizers: list[Any], encoders: list[Any], zero_empty_negative: bool = False) -> None:
        self.tokenizers = tokenizers
        self.encoders = encoders
        self._zero_empty_negative = zero_empty_negative

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Encoders by the names LoRA files use."""
        return dict(zip(("text_encoder", "text_encoder_2"), self.encoders, strict=False))

    @torch.inference_mode()
    def __call__(self, text: str, negative: bool = False) -> Conditioning:
        """Embedding of one prompt, without time ids. `negative` marks the unguided half's text."""
        outputs = [self._run(i, text) for i in range(len(self.encoders))]
        if len(outputs) == 1:
            return Conditioning(outputs[0][0].float())
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1).float()
        pooled = outputs[-1][0].float()
        if negative and not text and self._zero_empty_negative:
            return Conditioning(torch.zeros_like(hidden), torch.zeros_like(pooled))
        return Conditioning(hidden, pooled)

    def _run(self, index: int, text: str) -> Any:
        tokenizer, encoder = self.tokenizers[index], self.encoders[index]
        tokens = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
        mask = tokens.attention_mask.to(encoder.device) if getattr(encoder.config, "use_attention_mask", False) else None
        return encoder(tokens.input_ids.to(encoder.device), attention_mask=mask, output_hidden_states=len(self.encoders) > 1)


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

    def embed(self, key: object, cache: PromptCache, text: str, negative: bool, styles: Any) -> Conditioning:
        """The embedding of one prompt; the encoder is patched and run only if the cache doesn't have it."""
        acting = [(style, weight, factors) for style, weight, factors in styles if any(factors[name] for name in self._patches)]
        names = tuple((style, weight) for style, weight, _ in acting)

        def encode() -> Conditioning:
            for component, patch in self._patches.items():
                patch.set(names, [(factors[component], weight) for _, weight, factors in acting])
            self._arrive()
            return self.encoder(text, negative)

        return cache.get(PromptKey(key, names, negative, text), encode)


def size_ids(width: int, height: int, like: Tensor) -> Tensor:
    """SDXL's (original size, crop corner, target size) of an uncropped picture, (1, 6)."""
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=like.dtype, device=like.device)
