"""Random numbers of a training step that do not depend on how its batch is spread over processes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

WHOLE = slice(None)


@dataclass
class Draws:
    """Numbers are drawn for all `total` rows of the batch, and this process keeps its `rows`.

    So two processes with half a batch each see what one with the whole batch sees.
    """

    generator: torch.Generator
    total: int
    rows: slice = field(default_factory=lambda: WHOLE)

    @staticmethod
    def of(seed: int, step: int, purpose: str, total: int, rows: slice = WHOLE) -> Draws:
        """A fresh stream, a pure function of seed, step and purpose."""
        mixed = (seed * 1_000_003 + step) * 4_294_967_291 + zlib.crc32(purpose.encode())
        return Draws(torch.Generator().manual_seed(mixed % 2**63), total, rows)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape and on the device of this process's rows, float32."""
        whole = torch.randn((self.total, *like.shape[1:]), generator=self.generator)
        return whole[self.rows].to(like.device)

    def uniform(self) -> Tensor:
        """Uniform numbers in [0, 1), float64, one a row."""
        return torch.rand(self.total, generator=self.generator, dtype=torch.float64)[self.rows]

    def stratified(self) -> Tensor:
        """Uniform numbers, one from each of `total` equal parts of [0, 1), so that a loss over timesteps is less noisy."""
        u = torch.rand(self.total, generator=self.generator, dtype=torch.float64)
        return ((torch.arange(self.total) + u) / self.total)[self.rows]

    def pick(self, count: int) -> int:
        """One number from 0 to count - 1, the same for all processes."""
        return int(torch.randint(count, (), generator=self.generator))


def part_rows(total: int, part: int, parts: int) -> slice:
    """The rows of one of `parts` equal parts of a batch. `total` is a multiple of `parts`."""
    size, rest = divmod(total, parts)
    assert not rest, f"a batch of {total} cannot be cut into {parts} equal parts"
    return slice(part * size, (part + 1) * size)
