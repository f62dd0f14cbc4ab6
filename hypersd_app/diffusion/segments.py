"""A time line cut into segments, as consistency methods walk it (Hyper-SD, Ren et al., 2024, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ENDS = ("random", "edge", "clean")


@dataclass(frozen=True)
class Segments:
    """A time line of T steps cut into `num_segments` equal parts, walked on a grid with spacing `skip`.

    A `skip` that is no whole number is rounded point by point: T / 48 holds the edges of 12 segments, which no whole one does.
    """

    num_timesteps: int
    num_segments: int
    skip: float

    def start(self, t: Tensor) -> Tensor:
        """The edge below t: the last timestep of the segment before, or -1, clean data, for the first segment.

        Edges fall on the trailing timesteps of a `num_segments`-step sampler, so that its jumps are the ones trained.
        """
        length = self.num_timesteps / self.num_segments
        index = torch.floor(t.double() / length)
        return (index * length).round().long() - 1

    def previous(self, t: Tensor) -> Tensor:
        """The grid point below t: t - skip, but never beyond the edge.

        A grid point close above an edge would otherwise step over it and leave the interval for t_end empty.
        """
        return torch.maximum((t - self.skip).round().long(), self.start(t))

    def draw(self, u: Tensor, v: Tensor, end: str) -> tuple[Tensor, Tensor, Tensor]:
        """(t_n, t_{n-1}, t_end), int64 (B,), with start <= t_end <= t_{n-1} < t_n, from uniform numbers u, v in [0, 1).

        `u` picks the grid point; `v` picks t_end in [start, t_{n-1}] where `end` is "random". With "edge" t_end is the
        segment's edge, with "clean" -1, clean data.
        """
        assert end in ENDS, end
        points = int(self.num_timesteps / self.skip + 1e-9)
        t = (self.num_timesteps - (u.double() * points).floor() * self.skip).round().long() - 1
        edge, previous = self.start(t), self.previous(t)
        if end == "clean":
            return t, previous, torch.full_like(t, -1)
        if end == "edge":
            return t, previous, edge
        return t, previous, edge + (v.double() * (previous - edge + 1)).long()

    def walk(self, t: int) -> list[int]:
        """Every grid point from t down to its segment's edge, both included."""
        points = [t]
        edge = int(self.start(torch.tensor(t)))
        while points[-1] > edge:
            points.append(int(self.previous(torch.tensor(points[-1]))))
        return points
