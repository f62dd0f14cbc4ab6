"""How the studio is: whether it is warm, so that the first visitor waits for no model to load, and what is loaded."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hypersd_app.errors import HyperSDError

if TYPE_CHECKING:
    from hypersd_app.server.engines.protocol import ImageEngine

logger = logging.getLogger(__name__)

STATUS_SECONDS = 5.0


class State(StrEnum):
    """What /ready answers."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    FAILED = "failed"


class Readiness:
    """Whether visitors may come: the default model is warm, and the process that draws is there and answers."""

    def __init__(self) -> None:
        self._warm = State.STARTING
        self._engine: object = None
        self.reason = ""  # why it failed

    @property
    def state(self) -> State:
        """Where it is now; whether the server is stopping is for others to say."""
        return self._warm if getattr(self._engine, "alive", True) or self._warm is not State.READY else State.RESTARTING

    def warm_up(self, engine: ImageEngine, model: str, others: Sequence[str] = ()) -> None:
        """Load the model on a thread of its own, then `others` while visitors draw with it.

        One that can't be loaded is told to whoever asks for it.
        """
        self._engine = engine
        threading.Thread(target=self._run, args=(engine, model, others), name="warm-up", daemon=True).start()

    def _run(self, engine: ImageEngine, model: str, others: Sequence[str]) -> None:
        try:
            engine.warm_up(model)
            self._warm = State.READY
        except HyperSDError as error:
            logger.warning("%s is not ready: %s", model, error)
            self._warm, self.reason = State.FAILED, str(error)
        for other in others:
            try:
                engine.warm_up(other)
                logger.info("%s is loaded", other)
            except HyperSDError as error:
                logger.warning("%s is not loaded yet: %s", other, error)


class StatusReader:
    """The engine's status for pages that are asked often: one question at a time, so that a hanging engine ties up no more."""

    def __init__(self, engine: ImageEngine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="status")
        self._asked: Future[Mapping[str, Any]] | None = None

    async def read(self) -> dict[str, Any]:
        """Plain values; an engine that does not answer in time must not keep the page from answering."""
        if self._asked is None or self._asked.done():
            self._asked = self._pool.submit(self._engine.status)
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                found = await asyncio.shield(asyncio.wrap_future(self._asked))
        except Exception as error:  # noqa: BLE001 - whatever ails the engine, these pages are there to tell it
            return {"error": type(error).__name__}
        return {str(key): plain(value) for key, value in found.items()}


def plain(value: object) -> object:
    """JSON-ready: numbers, texts, lists and objects stay, the rest becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)
