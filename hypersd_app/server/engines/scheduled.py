"""The engine for tabs and endpoints: every request goes through the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.engines.delegate import DelegatingEngine
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.scheduling.scheduler import Outcome
from hypersd_app.server.service import BoardService


class Visitor(NamedTuple):
    """Who asks, through which transport, and whose turns it takes: those of an address, "" for a visitor alone."""

    name: str
    transport: str
    address: str = ""


class ScheduledEngine(DelegatingEngine):
    """An engine whose `generate` goes through the scheduler; `visitor` says who is asking on this thread."""

    def __init__(self, engine: ImageEngine, service: BoardService, visitor: Callable[[], Visitor]) -> None:
        super().__init__(engine)
        self._service = service
        self._visitor = visitor

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """Run one request when its turn comes. Raises HyperSDError."""
        visitor = self._visitor()
        return self._service.generate(request, progress, visitor.name, visitor.transport, visitor.address)

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """Each request in its turn; all in one where the device is lent by the call. Raises HyperSDError."""
        if not self.lent_seconds(requests):
            return [self.generate(request) for request in requests]
        visitor = self._visitor()
        return self._service.generate_together(requests, visitor.name, visitor.transport, visitor.address)
