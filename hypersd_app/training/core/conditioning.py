"""What a denoiser is told beside the noisy latents: text, and for SDXL the pooled text and the picture's sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """`embeddings` (B, L, D); `pooled` (B, P) and `time_ids` (B, 6) are SDXL's, None for every other model.

    `time_ids` are original height and width, crop top and left, target height and width, in pixels.
    """

    embeddings: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def added(self) -> dict[str, Tensor] | None:
        """diffusers' `added_cond_kwargs`."""
        if self.pooled is None or self.time_ids is None:
            return None
        return {"text_embeds": self.pooled, "time_ids": self.time_ids}

    def each(self, change: Any) -> Conditioning:
        """The same with `change` applied to every tensor there is."""
        return Conditioning(*(None if part is None else change(part) for part in self.parts))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Conditioning:
        """On another device."""
        return self.each(lambda part: part.to(device))

    def rows(self, count: int) -> Conditioning:
        """One row, repeated `count` times."""
        return self.each(lambda part: part[:1].expand(count, *part.shape[1:]))

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """All tensors in order."""
        return self.embeddings, self.pooled, self.time_ids

    @staticmethod
    def join(several: Sequence[Conditioning]) -> Conditioning:
        """One batch of several; all of one model."""
        columns = zip(*(one.parts for one in several), strict=True)
        return Conditioning(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]
