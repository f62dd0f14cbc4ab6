"""An engine that delegates to another one; subclasses override parts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.engines.protocol import BorrowingEngine, ImageEngine
from hypersd_app.server.scheduling.scheduler import Outcome


class DelegatingEngine:
    """An `ImageEngine` that delegates every call to `engine`."""

    def __init__(self, engine: ImageEngine) -> None:
        self.engine = engine

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """Run one request. Raises HyperSDError."""
        return self.engine.generate(request, progress)

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """Run requests at once. Raises HyperSDError."""
        return self.engine.generate_batch(requests)

    def lent_seconds(self, requests: Sequence[GenerationRequest]) -> list[int]:
        """Seconds of a device that is lent by the call. Raises InvalidRequest."""
        return self.engine.lent_seconds(requests) if isinstance(self.engine, BorrowingEngine) else []

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Load what `request` needs. Raises HyperSDError."""
        self.engine.prepare(request, progress)

    def warm_up(self, model: str) -> None:
        """Load and compile what `model` needs. Raises HyperSDError."""
        self.engine.warm_up(model)

    def models(self) -> Sequence[Any]:
        """Rows of the catalogue's models."""
        return self.engine.models()

    def recipes(self, model: str) -> Sequence[Any]:
        """Rows of the recipes that `model` can run."""
        return self.engine.recipes(model)

    def styles(self, model: str) -> Sequence[Any]:
        """Rows of the styles that fit `model`."""
        return self.engine.styles(model)

    def annotate(self, kind: str, photograph: Any, size: tuple[int, int]) -> Any:
        """A photograph as a control image. Raises HyperSDError."""
        return self.engine.annotate(kind, photograph, size)

    def rescan(self) -> None:
        """Look again for models and styles."""
        self.engine.rescan()

    def status(self) -> Mapping[str, Any]:
        """What is loaded where."""
        return self.engine.status()

    def close(self) -> None:
        """Free the device."""
        self.engine.close()
