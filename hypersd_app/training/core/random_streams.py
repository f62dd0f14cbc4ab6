"""Random numbers of a training step, independent of how its batch is split over processes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

WHOLE = slice(None)


@dataclass
class RandomStream:
    """Draws for all `total` rows of the batch and returns this process's `rows`.

    So two processes with half a batch each see the numbers that one process with the whole batch sees.
    """

    generator: torch.Generator
    total: int
    rows: slice = field(default_factory=lambda: WHOLE)

    @staticmethod
    def of(seed: int, step: int, purpose: str, total: int, rows: slice = WHOLE) -> RandomStream:
        """A new stream, seeded by (seed, step, purpose) alone."""
        mixed = (seed * 1_000_003 + step) * 4_294_967_291 + zlib.crc32(purpose.encode())
        return RandomStream(torch.Generator().manual_seed(mixed % 2**63), total, rows)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal, float32, with the shape and device of `like`, which holds this process's rows."""
        whole = torch.randn((self.total, *like.shape[1:]), generator=self.generator)
        return whole[self.rows].to(like.device)

    def uniform(self) -> Tensor:
        """Uniform in [0, 1), float64, one per row."""
        return torch.rand(self.total, generator=self.generator, dtype=torch.float64)[self.rows]

    def stratified(self) -> Tensor:
        """Stratified uniform in [0, 1), float64: one from each of `total` equal parts, which lowers the loss's variance over t."""
        u = torch.rand(self.total, generator=self.generator, dtype=torch.float64)
        return ((torch.arange(self.total) + u) / self.total)[self.rows]

    def pick(self, count: int) -> int:
        """An integer from 0 to count - 1, the same on all processes."""
        return int(torch.randint(count, (), generator=self.generator))


def part_rows(total: int, part: int, parts: int) -> slice:
    """The rows of one of `parts` equal parts of a batch. `total` is a multiple of `parts`."""
    size, rest = divmod(total, parts)
    assert not rest, f"a batch of {total} cannot be cut into {parts} equal parts"
    return slice(part * size, (part + 1) * size)
