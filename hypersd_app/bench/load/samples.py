"""Memory, files and threads of a server while it is under load: as a series over time, and what still grows at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

import numpy as np

from hypersd_app.bench.load.server import RunningServer

EVERY = 5.0  # seconds
WARM_UP = 1 / 3  # of a run: caches fill up to their bounds, and each network is compiled when it first comes
MOST_LINES = 16  # of the series
WATCHED: Mapping[str, tuple[str, float]] = {
    "server MB": ("process_resident_memory_bytes", 1e-6),
    "worker MB": ("hypersd_worker_process_resident_memory_bytes", 1e-6),
    "replicas MB": ("hypersd_replica_resident_memory_bytes", 1e-6),
    "server files": ("process_open_fds", 1.0),
    "worker files": ("hypersd_worker_process_open_fds", 1.0),
    "server threads": ("hypersd_threads", 1.0),
}


class Samples:
    """What `server` says of itself every few seconds while a block runs."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
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
            await asyncio.sleep(EVERY)

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
