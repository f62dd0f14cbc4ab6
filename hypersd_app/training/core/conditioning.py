"""The conditioning of a denoiser: text embeddings, and for SDXL the pooled text and size ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """One row per image: `embeddings` (B, L, D); SDXL's `pooled` (B, P) and `time_ids` (B, 6), else None.

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
        """A copy with `change` applied to every tensor that is not None."""
        return Conditioning(*(None if part is None else change(part) for part in self.parts))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Conditioning:
        """On another device."""
        return self.each(lambda part: part.to(device))

    def rows(self, count: int) -> Conditioning:
        """The first row, expanded to `count` rows."""
        return self.each(lambda part: part[:1].expand(count, *part.shape[1:]))

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """All tensors in order."""
        return self.embeddings, self.pooled, self.time_ids

    @staticmethod
    def join(several: Sequence[Conditioning]) -> Conditioning:
        """Concatenates batches of one model's conditioning."""
        columns = zip(*(one.parts for one in several), strict=True)
        return Conditioning(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]
