"""Starting Ray and the deployment, on this machine or on a cluster that is there. Ray is imported only when asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypersd_app.errors import ModelUnavailable
from hypersd_app.server.engines.protocol import CatalogReader, ImageEngine
from hypersd_app.server.engines.ray.cards import card_gigabytes, card_share, require_room
from hypersd_app.server.scheduling.limits import is_loopback
from hypersd_app.settings import Settings
from hypersd_app.system import available_bytes

if TYPE_CHECKING:
    from hypersd_app.server.engines.ray.engine import RayEngine

logger = logging.getLogger(__name__)

APPLICATION = "hypersd-studio"
DEPLOYMENT = "engine"
ROUTER = "hypersd_app.server.engines.ray.router:WarmFirstRouter"
MEMORY_SHARE = 0.75  # of what is free, for the models of all replicas of this machine together
STORE = 256 * 2**20  # bytes of shared memory, for images on their way
CALLS = 16  # of a replica at once: batches are few, for the server counts them, but loading and questions come beside
UPSCALE_SECONDS, DOWNSCALE_SECONDS = 10.0, 300.0
LEAST_DRAIN = 5.0  # seconds
NODE_TRIES = 2  # on two busy cores a start now and then never ends, and the next one does
BUSY = 0.7  # of the time; a replica that draws for more gets help
# Ray's processes share the cores with the drawing: no reports to its makers, no metrics that nobody reads, no spare workers,
# and a controller that looks around twice a second instead of ten times.
QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # or a thread that Serve leaves behind starts Ray again after it was shut down
    "RAY_enable_metrics_collection": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# For all its name: Ray's own processes, started here, listen on loopback only.
ALONE: Mapping[str, str] = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def open_ray_engine(settings: Settings, build: Callable[[Settings], ImageEngine], catalog: CatalogReader) -> RayEngine:
    """Start the replicas that `settings` ask for and wait until they are warm.

    `build` makes the engine of each replica; `catalog` is read in this process.

    Raises ModelUnavailable if Ray is not installed or the replicas cannot start.
    """
    if importlib.util.find_spec("ray") is None:
        raise ModelUnavailable("Replicas need Ray Serve: pip install -r requirements-ray.txt")
    for name, value in (QUIET if settings.ray_address else {**QUIET, **ALONE}).items():
        os.environ.setdefault(name, value)
    from hypersd_app.server.engines.ray.engine import RayEngine

    if settings.ray_application:
        return _join(settings, catalog)
    close = _connect(settings)
    try:
        handle = _deploy(settings, build)
    except RuntimeError as error:
        reason = _reason() or str(error)
        close()
        raise ModelUnavailable(f"The replicas did not start: {reason}") from error
    return RayEngine(handle, catalog, APPLICATION, settings.replicas_at_most, close)


def _join(settings: Settings, catalog: CatalogReader) -> RayEngine:
    """The engine over an application that others deployed; leaving does not end it. Raises ModelUnavailable."""
    import ray
    from ray import serve

    from hypersd_app.server.engines.ray.engine import RayEngine

    name = settings.ray_application
    ray.init(address=settings.ray_address or "auto", log_to_driver=False, namespace=APPLICATION, ignore_reinit_error=True)
    try:
        handle = serve.get_app_handle(name)
    except (RuntimeError, serve.exceptions.RayServeException) as error:
        ray.shutdown()
        raise ModelUnavailable(f"The cluster runs no application {name!r}: {error}") from error
    return RayEngine(handle, catalog, name, settings.replicas_at_most, ray.shutdown, owned=False)


def _connect(settings: Settings) -> Callable[[], None]:
    """Join the cluster that the settings name, or start one here that only this machine can reach; returns how to leave."""
    import ray
    from ray import serve

    if settings.ray_address:
        ray.init(address=settings.ray_address, log_to_driver=False, namespace=APPLICATION)
        serve.start(proxy_location="Disabled")
        return _leave
    cores = max(os.cpu_count() or 1, settings.replicas_at_most * settings.replica_cores)
    _start_node(cores)
    if not is_loopback(ray.util.get_node_ip_address()):
        logger.warning("Ray was imported before its settings were made: its ports are open to other machines")
    serve.start(proxy_location="Disabled")  # whoever asks is in this process: no proxy, no port
    return ray.shutdown


def _start_node(cores: int) -> None:
    """A cluster of this machine alone. Raises ModelUnavailable if it does not come up."""
    import ray

    for tries_left in reversed(range(NODE_TRIES)):
        try:
            # "local" is not a cluster that somebody else runs on this machine.
            ray.init(
                address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, object_store_memory=STORE,
                namespace=APPLICATION, logging_level=logging.WARNING,
            )  # fmt: skip
            return
        except Exception as error:  # Ray has no kind of its own for a node that is not there after half a minute
            ray.shutdown()
            if not tries_left:
                raise ModelUnavailable(f"Ray did not start: {error}") from error
            logger.warning("Ray did not start and is started again: %s", error)


def _leave() -> None:
    import ray
    from ray import serve

    with contextlib.suppress(ray.exceptions.RayError, RuntimeError):
        serve.delete(APPLICATION)
    ray.shutdown()


def _deploy(settings: Settings, build: Callable[[Settings], ImageEngine]) -> Any:
    """The handle of the running application. Raises RuntimeError if it does not run."""
    from ray import serve

    logger.info("starting %d to %d replicas", settings.replicas, settings.replicas_at_most)
    return serve.run(bound(settings, build), name=APPLICATION, route_prefix=None)


def bound(settings: Settings, build: Callable[[Settings], ImageEngine]) -> Any:
    """The application that runs the replicas, where Ray is connected. Raises InvalidRequest, ModelUnavailable."""
    import ray
    from ray import serve

    from hypersd_app.server.engines.ray.replica import EngineReplica

    cards = ray.cluster_resources().get("GPU", 0) if settings.device in ("auto", "cuda") else 0
    share = card_share(settings.replicas_at_most, cards, settings.replica_gpus)
    require_room(share, settings.memory_gb, card_gigabytes() if share else None)
    deployment: Any = serve.deployment(EngineReplica)
    deployment = deployment.options(
        name=DEPLOYMENT,
        max_ongoing_requests=CALLS,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": settings.replica_cores, "num_gpus": share},
        autoscaling_config={
            "min_replicas": settings.replicas,
            "max_replicas": settings.replicas_at_most,
            "target_ongoing_requests": BUSY,
            "upscale_delay_s": UPSCALE_SECONDS,
            "downscale_delay_s": DOWNSCALE_SECONDS,
        },
        request_router_config={"request_router_class": ROUTER},
        user_config={"model": settings.default_model},
        health_check_period_s=2.0,
        health_check_timeout_s=20.0,
        graceful_shutdown_timeout_s=max(LEAST_DRAIN, settings.hang_seconds),  # as long as a frame may take; most take less
        graceful_shutdown_wait_loop_s=0.5,
    )
    made = functools.partial(build, _of_replica(settings, share))
    return deployment.bind(made, settings.hang_seconds, not settings.ray_address)


def _reason() -> str:
    """What a replica said last, when it did not start."""
    from ray import serve

    with contextlib.suppress(KeyError):
        lines = serve.status().applications[APPLICATION].deployments[DEPLOYMENT].message.strip().splitlines()
        return lines[-1] if lines else ""
    return ""


def _of_replica(settings: Settings, share: float) -> Settings:
    """The settings of one replica: its share of this machine's cores and memory, or of a card."""
    memory = settings.memory_gb
    if not memory and not share and not settings.ray_address:
        memory = MEMORY_SHARE * available_bytes() / settings.replicas_at_most / 1e9
    return replace(settings, threads=settings.threads or settings.replica_cores, memory_gb=memory, replica_gpus=share)
