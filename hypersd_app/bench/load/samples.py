"""Memory, files and threads of a server while it is under load: as a series over time, and what still grows at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hypersd_app.bench.load.server import RunningServer

EVERY = 5.0  # seconds
WARM_UP = 1 / 3  # of a run: caches fill up to their bounds, and each network is compiled when it first comes
FEWEST = 4  # samples, from which on a line says something
MOST_LINES = 16  # of the series
WATCHED: Mapping[str, tuple[str, float]] = {
    "server MB": ("process_resident_memory_bytes", 1e-6),
    "worker MB": ("hypersd_worker_process_resident_memory_bytes", 1e-6),
    "replicas MB": ("hypersd_replica_resident_memory_bytes", 1e-6),
    "server files": ("process_open_fds", 1.0),
    "worker files": ("hypersd_worker_process_open_fds", 1.0),
    "server threads": ("hypersd_threads", 1.0),
}


@dataclass(frozen=True)
class Slope:
    """Growth an hour, half the width of its 95 % interval, and the mean level."""

    an_hour: float
    interval: float
    level: float

    def flat(self, hours: float, share: float) -> bool:
        """Whether it grows over `hours` by less than a share of its level, or by nothing that noise does not explain."""
        return self.an_hour <= self.interval or self.an_hour * hours <= share * self.level

    def __str__(self) -> str:
        return f"{self.an_hour:+.1f} ± {self.interval:.1f} an hour at {self.level:.0f}"


def fitted(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """A line by least squares. Samples that follow each other count as independent, which they are not quite."""
    x, y = np.asarray(hours, float), np.asarray(values, float)
    if len(x) < FEWEST or np.ptp(x) == 0:
        return Slope(0.0, float("inf"), float(y.mean()))
    (slope_, _), covariance = np.polyfit(x, y, 1, cov="unscaled")
    spread = float(np.sqrt(np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2) / (len(x) - 2) * covariance[0, 0]))
    return Slope(float(slope_), 2 * spread, float(y.mean()))


class Samples:
    """What `server` says of itself every few seconds while a block runs."""

    def __init__(self, server: RunningServer, every: float = EVERY) -> None:
        self._server = server
        self._every = every
        self._taken: list[tuple[float, dict[str, float]]] = []

    async def __aenter__(self) -> Samples:
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _sample(self) -> None:
        while True:
            self._taken.append((time.perf_counter(), await self._server.metrics()))
            await asyncio.sleep(self._every)

    def slopes(self, since: float = WARM_UP) -> dict[str, Slope]:
        """How fast each thing grows from a share `since` of the time on."""
        taken = self._taken[int(since * len(self._taken)) :]
        hours = [(at - taken[0][0]) / 3600 for at, _ in taken]
        columns = {title: [sample.get(name, 0.0) * factor for _, sample in taken] for title, (name, factor) in WATCHED.items()}
        return {title: fitted(hours, values) for title, values in columns.items() if any(values)}

    def report(self) -> str:
        """The series, and below it how fast each thing grows after the warm-up."""
        times = [(at - self._taken[0][0]) / 60 for at, _ in self._taken]
        values = {title: [sample.get(name, 0.0) * factor for _, sample in self._taken] for title, (name, factor) in WATCHED.items()}
        return told(times, {title: column for title, column in values.items() if any(column)})  # some servers have no worker


def told(minutes: list[float], columns: Mapping[str, list[float]]) -> str:
    """A table of `columns` over `minutes`, its last line the growth an hour from the end of the warm-up on."""
    begin = warmed(minutes)
    lines = [" ".join(["   minute", *(f"{title:>14}" for title in columns)])]
    for i in range(0, len(minutes), max(1, -(-len(minutes) // MOST_LINES))):
        lines.append(" ".join([f"{minutes[i]:>9.1f}", *(f"{values[i]:>14.0f}" for values in columns.values())]))
    slopes = (slope(minutes[begin:], values[begin:]) for values in columns.values())
    lines.append(" ".join([" an hour*", *(f"{growth:>+14.1f}" for growth in slopes)]))
    return "\n".join([*lines, f"  * from minute {minutes[begin]:.1f} on, when the warm-up is over"])


def warmed(minutes: list[float]) -> int:
    """The index of the first sample after the warm-up."""
    end = minutes[0] + WARM_UP * (minutes[-1] - minutes[0])
    return next(i for i, at in enumerate(minutes) if at >= end)


def slope(minutes: list[float], values: list[float]) -> float:
    """Growth of `values` an hour, by least squares."""
    grown = float(np.polyfit(np.array(minutes) / 60, values, 1)[0]) if len(values) > 1 else 0.0
    return round(grown, 3) + 0.0  # no -0.0
