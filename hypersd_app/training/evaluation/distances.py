"""Distances between sets of images, as feature vectors, float (N, D); numpy alone."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Features: TypeAlias = NDArray[np.floating]


def frechet(a: Features, b: Features) -> float:
    """Fréchet distance of two Gaussians fitted to the features (Heusel et al., 2017).

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2).
    Compare only values of equally many images: few images make it larger.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root).clip(0)  # as (C_a C_b), but symmetric
    squared = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * np.sqrt(product).sum()
    return float(max(0.0, squared))


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / D + 1)^3: KID (Binkowski et al., 2018).

    May come out a little below zero for equal distributions.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)

    def kernel(x: Features, y: Features) -> Features:
        return (x @ y.T / x.shape[1] + 1) ** 3

    within_a, within_b = kernel(a, a), kernel(b, b)
    n, m = len(a), len(b)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * kernel(a, b).mean()
    )


def squared_distances(a: Features, b: Features) -> Features:
    """Between all rows of `a` and all of `b`, (N, M)."""
    return (np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T).clip(0)


def precision_recall(real: Features, made: Features, neighbours: int = 3) -> tuple[float, float]:
    """Precision and recall of generated against real images (Kynkäänniemi et al., 2019).

    A point lies among others if it is nearer to one of them than that one's k-th nearest neighbour is.
    """

    def covered(points: Features, others: Features) -> float:
        radii = np.partition(squared_distances(others, others), neighbours, axis=1)[:, neighbours]
        return float((squared_distances(points, others) <= radii[None]).any(1).mean())

    return covered(made, real), covered(real, made)


def diversity(groups: Features) -> float:
    """Mean distance between images of one prompt, over prompts: (P, S, D) features of S seeds each."""
    means = []
    for rows in groups.astype(np.float64):
        distances = np.sqrt(squared_distances(rows, rows))
        means.append(distances.sum() / (len(rows) * (len(rows) - 1)))
    return float(np.mean(means))


def nearest(made: Features, known: Features, chunk: int = 256) -> tuple[NDArray[np.int64], Features]:
    """For each row of `made` the nearest row of `known`, and how far it is."""
    places, distances = [], []
    for start in range(0, len(made), chunk):
        found = squared_distances(made[start : start + chunk], known)
        places.append(found.argmin(1))
        distances.append(np.sqrt(found.min(1)))
    return np.concatenate(places), np.concatenate(distances)


def wilson(hits: NDArray[np.bool_]) -> tuple[float, float, float]:
    """A share with its 95 % interval: (share, low, high) (Wilson, 1927)."""
    n, z = len(hits), 1.96
    p = float(hits.mean())
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, float(middle - half), float(middle + half)


# Half widths of 95 % intervals in standard errors, for 2 to 10 runs (Student's t).
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean of several runs and the half width of its 95 % interval; infinite for one run."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), float("inf")
    spread = float(np.std(values, ddof=1)) / n**0.5
    return float(np.mean(values)), (_STUDENT[n - 2] if n <= 10 else 1.96) * spread
