"""The engine as the server calls it when replicas of Ray Serve draw."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ReplicaState

from hypersd_app.errors import NotDrawn, Overloaded, WorkerLost
from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.engines.protocol import CatalogReader
from hypersd_app.server.engines.watchdog import FIRST_TIME
from hypersd_app.server.scheduling.scheduler import Outcome

logger = logging.getLogger(__name__)

LOST = "A drawing process stopped; another one takes its place. Your drawing is safe."
LOOK_EVERY = 1.0  # seconds between questions how many replicas there are
STATUS_SECONDS = 4.0
RESCAN_SECONDS = 60.0


class RayEngine:
    """An `ImageEngine` over a deployment; replicas keep nothing of a visitor, so that any of them draws the next stroke.

    `devices` is how many batches may ever be on their way at once, `slots` how many may be now: one for each replica
    that runs, and one that waits, so that no replica does.
    """

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        catalog: CatalogReader,
        application: str,
        most: int,
        close: Callable[[], None],
        owned: bool = True,
    ) -> None:
        """`owned`: the replicas end with this engine."""
        self._handle = handle
        self._catalog = catalog
        self._application = application
        self._close = close
        self._owned = owned
        self._closed = threading.Event()
        self.devices = most + 1
        self.replicas = 0
        self.lost = 0  # calls that died with their replica
        self._look()
        threading.Thread(target=self._watch, name="replicas", daemon=True).start()

    def slots(self) -> int:
        """How many batches may be on their way now."""
        return min(self.devices, self.replicas + 1) if self.replicas else 1

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY):
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(RayError, KeyError, TimeoutError):  # the next look may do
            rows = serve.status().applications[self._application].deployments
            self.replicas = sum(row.replica_states.get(ReplicaState.RUNNING, 0) for row in rows.values())

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """Run one request. Raises HyperSDError, WorkerLost among them."""
        with self._told():
            there = self._handle.options(method_name="generate", stream=True, multiplexed_model_id=request.batch_key().weights)
            told: Iterable[tuple[str, Any]] = there.remote(request)  # type: ignore[assignment]
            for kind, value in told:
                if kind != "progress":
                    return self._value(kind, value)  # type: ignore[no-any-return]
                if progress is not None:
                    progress(*value)
        raise NotDrawn()

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """Run requests at once, on one replica. Raises HyperSDError, WorkerLost among them."""
        outcomes: Sequence[Outcome] = self._call("generate_batch", requests[0], list(requests))
        return outcomes

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Have a replica load what `request` needs. Raises HyperSDError."""
        self._call("prepare", request, request)

    def warm_up(self, model: str) -> None:
        """Replicas load the default model before they are sent visitors; another one is loaded now. Raises HyperSDError."""
        self.prepare(GenerationRequest("warm-up", model=model))

    def annotate(self, kind: str, photograph: Any, size: tuple[int, int]) -> Any:
        """A photograph as a control image. Raises HyperSDError."""
        return self._call("annotate", None, kind, photograph, size)

    def _call(self, method: str, request: GenerationRequest | None, *arguments: Any) -> Any:
        name = "" if request is None else request.batch_key().weights
        with self._told():
            reply = self._handle.options(method_name=method, multiplexed_model_id=name).remote(*arguments)
            return self._value(*reply.result(timeout_s=FIRST_TIME))

    @staticmethod
    def _value(kind: str, value: Any) -> Any:
        if kind == "error":
            raise value
        return value

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Ray's errors, in terms of ours."""
        try:
            yield
        except RayTaskError as error:
            logger.error("a replica failed: %s", error)
            raise NotDrawn() from None
        except RayActorError as error:
            self.lost += 1
            logger.error("a replica was lost: %s", str(error).splitlines()[0])
            raise WorkerLost(LOST, retry_after=1.0) from None
        except TimeoutError:
            raise Overloaded("No drawing process answers.", retry_after=10.0) from None

    def models(self) -> Sequence[Any]:
        """Rows of the catalogue's models."""
        return self._catalog.models()

    def recipes(self, model: str) -> Sequence[Any]:
        """Rows of the recipes that `model` can run. Raises InvalidRequest."""
        return self._catalog.recipes(model)

    def styles(self, model: str) -> Sequence[Any]:
        """Rows of the styles that fit `model`. Raises InvalidRequest."""
        return self._catalog.styles(model)

    def rescan(self) -> None:
        """Look again for models and styles, here and on every replica."""
        self._catalog.rescan()
        with self._told():
            self._handle.broadcast("rescan").results(timeout_s=RESCAN_SECONDS)

    def status(self) -> Mapping[str, Any]:
        """What the replicas have loaded, added up."""
        found = self._statuses()
        first = found[0] if found else {}
        return {
            **first,
            "worker": "running" if found else "starting",
            "replicas": self.replicas,
            "lost": self.lost,
            "pids": [row["pid"] for row in found],
            "bytes": sum(row.get("bytes", 0) for row in found),
            "replica_memory": sum(row["resident_memory"] for row in found),
        }

    def _statuses(self) -> list[Mapping[str, Any]]:
        try:
            found = self._handle.broadcast("status").results(timeout_s=STATUS_SECONDS, return_exceptions=True)
        except (RayError, TimeoutError) as error:
            logger.warning("replicas did not say how they are: %s", type(error).__name__)
            return []
        return [row for row in found if isinstance(row, Mapping)]

    def close(self) -> None:
        """End the replicas, if they are ours."""
        self._closed.set()
        with contextlib.suppress(RayError, RuntimeError, TimeoutError):
            if self._owned:
                self._handle.shutdown()  # its threads would go on asking for a cluster that is no more
        self._close()
