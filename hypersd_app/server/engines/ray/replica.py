"""One replica: the engine in a process of Ray's, and the calls it answers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ray import serve

from hypersd_app.errors import HyperSDError, NotDrawn
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.engines.ray.loopback import keep_to_loopback
from hypersd_app.server.engines.watchdog import HangDetector
from hypersd_app.server.observability.log_lines import write_log
from hypersd_app.system import resident_bytes, share_one_heap

logger = logging.getLogger(__name__)

Answer = tuple[str, Any]  # "result", "error" or "progress", and what it is
THREADS = 16
MODELS = 16  # names of bases with styles that a replica tells the router it has; what is in memory is the engine's to decide


@dataclass
class _Work:
    """Something the device is busy with. `sign` is when it last gave a sign of life."""

    limit: float
    sign: float = field(default_factory=time.monotonic)


class EngineReplica:
    """`build` makes the engine here. Errors for visitors are answers: raised ones would come wrapped in Ray's own."""

    def __init__(self, build: Callable[[], ImageEngine], hang_seconds: float, alone: bool = False) -> None:
        """`alone`: all of the cluster is on this machine."""
        share_one_heap()
        write_log(logging.INFO)
        if alone:
            keep_to_loopback()
        self._engine = build()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="calls")
        self._hang_detector = HangDetector(hang_seconds)
        self._working: dict[int, _Work] = {}
        self._numbers = itertools.count()
        self._wanted: dict[str, GenerationRequest] = {}  # what to load for a name

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Load and compile the default model: visitors come only after that, so none meets a cold replica."""
        try:
            await self._in_thread(self._engine.warm_up, str(config["model"]))
            await self._ready(GenerationRequest("ready", model=str(config["model"])))
        except HyperSDError as error:
            logger.warning("%s is not ready: %s", config["model"], error)  # whoever asks for it is told the same

    async def generate_batch(self, requests: list[GenerationRequest]) -> Answer:
        """One outcome a request, in order."""
        kind = (len(requests), requests[0].batch_key())
        return await self._answered(requests[0], kind, self._engine.generate_batch, requests)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Answer]:
        """Progress as it comes, then the outcome."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Answer | None] = asyncio.Queue()
        work = self._begin(request.batch_key())

        def progress(*values: Any) -> None:
            work.sign = time.monotonic()
            loop.call_soon_threadsafe(told.put_nowait, ("progress", values))

        drawing = asyncio.create_task(
            self._answered(request, request.batch_key(), self._engine.generate, request, progress, work=work)
        )
        drawing.add_done_callback(lambda _: told.put_nowait(None))
        while (item := await told.get()) is not None:
            yield item
        yield await drawing

    async def prepare(self, request: GenerationRequest) -> Answer:
        """Load what `request` needs."""
        return await self._answered(request, ("prepare", request.batch_key().weights), lambda: None)

    async def annotate(self, kind: str, photograph: Any, size: tuple[int, int]) -> Answer:
        """A photograph as a control image."""
        return await self._answered(None, ("annotate", kind), self._engine.annotate, kind, photograph, size)

    async def rescan(self) -> None:
        """Look again for models and styles on the disk."""
        await self._in_thread(self._engine.rescan)

    async def status(self) -> dict[str, Any]:
        """What is loaded here."""
        return {**await self._in_thread(self._engine.status), "pid": os.getpid(), "resident_memory": resident_bytes()}

    def check_health(self) -> None:
        """Raises if something has been silent for too long: Ray Serve then puts another replica in this one's place."""
        now = time.monotonic()
        late = max((now - work.sign - work.limit for work in list(self._working.values())), default=0.0)
        if late > 0:
            raise RuntimeError(f"no sign of life from the device; {late:.0f} s too late")

    @serve.multiplexed(max_num_models_per_replica=MODELS)
    async def load(self, name: str) -> str:
        """Load the base and styles of a name. Raises HyperSDError."""
        await self._in_thread(self._engine.prepare, self._wanted[name])
        return name

    async def _ready(self, request: GenerationRequest) -> None:
        name = request.batch_key().weights
        self._wanted[name] = request
        try:
            await self.load(name)
        finally:
            self._wanted.pop(name, None)

    async def _answered(
        self, request: GenerationRequest | None, kind: Hashable, function: Callable[..., Any], *arguments: Any, work: Any = None
    ) -> Answer:
        """What came of a call, what `request` draws with being loaded before it."""
        work = work or self._begin(kind)
        number, started = next(self._numbers), time.monotonic()
        self._working[number] = work
        try:
            if request is not None:
                await self._ready(request)
            value = await self._in_thread(function, *arguments)
        except HyperSDError as error:
            return "error", error
        except Exception:
            # The process boundary: this log gets the trace, whoever called gets an answer.
            logger.exception("a call failed")
            return "error", NotDrawn()
        finally:
            del self._working[number]
        self._hang_detector.learn(kind, time.monotonic() - started)
        return "result", value

    def _begin(self, kind: Hashable) -> _Work:
        return _Work(self._hang_detector.limit(kind))

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
