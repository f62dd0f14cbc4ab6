"""What the page and the socket need of an engine; `engine.engine.Engine` has it, and so does the fake of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.scheduling.scheduler import Outcome

ProgressCallback = Callable[..., None]


class CatalogReader(Protocol):
    """What can be drawn with: models, their recipes and the styles that fit them."""

    def models(self) -> Sequence[Any]:
        """Rows of the catalogue's models."""
        ...

    def recipes(self, model: str) -> Sequence[Any]:
        """Rows of the recipes that `model` can run."""
        ...

    def styles(self, model: str) -> Sequence[Any]:
        """Rows of the styles that fit `model`."""
        ...

    def rescan(self) -> None:
        """Look again for models and styles on the disk."""
        ...


class ImageEngine(CatalogReader, Protocol):
    """Makes images and says what it can make. Every method may be called from several threads."""

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """Run one request. Raises HyperSDError."""
        ...

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """Run requests that share a pipeline at once; one result or error a request, in order. Raises HyperSDError."""
        ...

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Load what `request` needs and draw nothing. Raises HyperSDError."""
        ...

    def annotate(self, kind: str, photograph: Any, size: tuple[int, int]) -> Any:
        """A photograph as a control image, uint8 (H, W, 3); `size` is (W, H). Raises HyperSDError."""
        ...

    def status(self) -> Mapping[str, Any]:
        """What is loaded where, as plain values for the health page."""
        ...

    def warm_up(self, model: str) -> None:
        """Load and compile what `model` needs. Raises HyperSDError."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


@runtime_checkable
class BorrowingEngine(Protocol):
    """An engine that may have to borrow its device by the call."""

    def lent_seconds(self, requests: Sequence[GenerationRequest]) -> list[int]:
        """Seconds that `generate_batch` would borrow, by call; [] where nothing is borrowed. Raises InvalidRequest."""
        ...


@runtime_checkable
class ConcurrentEngine(Protocol):
    """An engine that runs several batches at once, as one over several replicas does."""

    devices: int  # batches that may ever be on their way at once

    def slots(self) -> int:
        """Batches that may run now."""
        ...
