"""An engine behind the safety gate: the socket, the endpoints and the tabs all draw through it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.safety.gate import SafetyGate
from hypersd_app.server.engines.delegate import DelegatingEngine
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.scheduling.scheduler import Outcome


class GuardedEngine(DelegatingEngine):
    """`engine` with every prompt checked before and every image after drawing."""

    def __init__(self, engine: ImageEngine, gate: SafetyGate) -> None:
        super().__init__(engine)
        self._gate = gate

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """One request. Raises Refused beside the engine's errors."""
        self._before(request)
        return self._after(self.engine.generate(request, self._unseen(request, progress)))

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """One outcome per request, in order; a refusal affects its own request only."""
        refused = {i: error for i, request in enumerate(requests) if (error := self._refusal(request)) is not None}
        passing = [request for i, request in enumerate(requests) if i not in refused]
        drawn = iter(self.engine.generate_batch(passing) if passing else ())
        return [refused[i] if i in refused else self._checked(next(drawn)) for i in range(len(requests))]

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Load what the request needs, the checker included; nothing for a request that would be refused."""
        self._before(request)
        self.engine.prepare(request, progress)

    def warm_up(self, model: str) -> None:
        """Load and compile what `model` needs. Raises ModelUnavailable without the checker it must have."""
        self._gate.require(self._family(model))
        self.engine.warm_up(model)

    def status(self) -> Mapping[str, Any]:
        """What is loaded where."""
        return {**self.engine.status(), "safety": "on"}

    def _refusal(self, request: GenerationRequest) -> HyperSDError | None:
        try:
            self._before(request)
        except HyperSDError as error:
            return error
        return None

    def _checked(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, HyperSDError):
            return outcome
        try:
            return self._after(outcome)
        except HyperSDError as error:
            return error

    def _before(self, request: GenerationRequest) -> None:
        self._gate.check_prompt(request.prompt)
        self._gate.require(self._family(request.model))

    def _after(self, result: GenerationResult) -> GenerationResult:
        started = time.perf_counter()
        self._gate.check_images(self._family(result.request.model), lambda: result.images)
        spent = (time.perf_counter() - started) * 1000
        parts = dict(result.milliseconds)
        return replace(result, milliseconds={**parts, "safety": spent, "total": parts.get("total", 0.0) + spent})

    def _unseen(self, request: GenerationRequest, progress: Any) -> Any:
        """Progress without the previews of models whose images are checked: a preview is an image too."""
        if progress is None or self._gate.require(self._family(request.model)) is None:
            return progress
        return lambda share, words, *_image: progress(share, words)

    def _family(self, model: str) -> str:
        rows = self.engine.models()
        row = next((row for row in rows if row.name == model), None)
        if row is None:
            raise InvalidRequest("model", model, "one of " + ", ".join(row.name for row in rows))
        return str(row.family)
