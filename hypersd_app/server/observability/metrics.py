"""Prometheus metrics of the server, in a registry of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

PARTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)  # seconds
BATCHES = (1, 2, 3, 4, 6, 8, 16)


class Metrics:
    """What happened since the start, and how things are at the moment of a scrape. Thread-safe."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "hypersd_requests", "Requests by transport and outcome", ["transport", "outcome"], registry=registry
        )
        self._errors = Counter("hypersd_errors", "Requests that failed, by kind of error", ["kind"], registry=registry)
        self._refusals = Counter("hypersd_refusals", "What was over a limit", ["limit"], registry=registry)
        self._parts = Histogram("hypersd_part_seconds", "Time of an image by part", ["part"], buckets=PARTS, registry=registry)
        self._batches = Histogram("hypersd_batch_size", "Frames that ran at once", buckets=BATCHES, registry=registry)
        self._batch_seconds = Histogram("hypersd_batch_seconds", "Time of a batch", buckets=PARTS, registry=registry)
        self._gauges = {
            name: Gauge(f"hypersd_{name}", title, registry=registry)
            for name, title in (
                ("boards", "Drawing boards that are connected"),
                ("waiting_strokes", "Visitors with a frame waiting"),
                ("waiting_jobs", "One-off images waiting"),
                ("busy_seconds", "How long the batch on the device has been running"),
                ("resident_bytes", "Bytes of loaded models"),
                ("worker_restarts", "Times the drawing process was started again"),
                ("replicas", "Replicas of Ray Serve that run; 0 without it"),
                ("replica_resident_memory_bytes", "Memory of all replicas"),
                ("threads", "Threads of the server process"),
            )
        }
        ProcessCollector(registry=registry)  # memory, processor time and open files of the server process

    def watch_process(self, pid: Callable[[], int | None]) -> None:
        """Also report memory, processor time and open files of the drawing process."""
        ProcessCollector(namespace="hypersd_worker", pid=lambda: pid() or -1, registry=self.registry)

    def request(self, transport: str, outcome: str, milliseconds: Mapping[str, float]) -> None:
        """One request came to its end: an image, dropped, refused or an error."""
        self._requests.labels(transport, outcome).inc()
        for part, spent in milliseconds.items():
            self._parts.labels(part).observe(spent / 1000)

    def error(self, kind: str) -> None:
        """A request failed."""
        self._errors.labels(kind).inc()

    def refused(self, limit: str) -> None:
        """Somebody was over a limit."""
        self._refusals.labels(limit).inc()

    def batch(self, size: int, seconds: float) -> None:
        """A batch ran."""
        self._batches.observe(size)
        self._batch_seconds.observe(seconds)

    def page(self, now: Mapping[str, Any]) -> bytes:
        """The text that Prometheus reads; `now` has values for gauges."""
        for name, value in {**now, "threads": threading.active_count()}.items():
            self._gauges[name].set(float(value))
        return generate_latest(self.registry)
