"""Paired comparisons that were named beforehand: a bootstrap over seeds and prompts, with Holm's correction."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCKS = 20  # parts of the prompts
DRAWS = 10_000
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean of `ours` - `other` with its 95 % interval and two-sided p value; `corrected` is Holm's."""

    title: str
    difference: float
    low: float
    high: float
    p: float
    corrected: float = 1.0

    @property
    def verdict(self) -> str:
        """What may be claimed, of a figure that is better when lower."""
        if self.corrected >= LEVEL:
            return "not told apart"
        return "better" if self.difference < 0 else "worse"


def prompt_blocks(count: int, blocks: int = BLOCKS) -> list[slice]:
    """`count` prompts cut into parts that differ in size by at most one; fewer of them where there are few prompts."""
    edges = np.linspace(0, count, min(blocks, count) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def paired_bootstrap(title: str, ours: NDArray[np.floating], other: NDArray[np.floating], seed: int = 0) -> Comparison:
    """Of values (seeds, blocks) whose places belong together: seeds and blocks are both drawn with replacement.

    p is twice the share of draws whose mean lies on the other side of zero, the draws and the data itself counted.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(other, np.float64)
    seeds, blocks = difference.shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(seeds, size=(DRAWS, seeds))
    columns = rng.integers(blocks, size=(DRAWS, blocks))
    means = difference[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    low, high = np.quantile(means, (0.025, 0.975))
    mean = float(difference.mean())
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return Comparison(title=title, difference=mean, low=float(low), high=float(high), p=min(1.0, 2 * (beyond + 1) / (DRAWS + 1)))


def holm(values: Sequence[float]) -> list[float]:
    """Corrected p values (Holm, 1979): the i-th smallest of m times m - i, never below a smaller one's, at most 1."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = largest
    return corrected


def corrected_together(found: Sequence[Comparison], planned: int) -> list[Comparison]:
    """With Holm's correction for all that were `planned`: those that are not there yet count as p = 1."""
    values = holm([*(each.p for each in found), *([1.0] * (planned - len(found)))])
    return [Comparison(**{**vars(each), "corrected": value}) for each, value in zip(found, values[: len(found)], strict=True)]


def blocks_by_seed(
    rows: Mapping[int, Sequence[float]], others: Mapping[int, Sequence[float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The seeds that both have, as (seeds, blocks) arrays; None for fewer than two, of which nothing can be said."""
    seeds = sorted(rows.keys() & others.keys())
    if len(seeds) < 2:
        return None
    return np.array([rows[seed] for seed in seeds]), np.array([others[seed] for seed in seeds])
