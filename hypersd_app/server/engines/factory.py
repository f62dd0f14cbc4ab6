"""Builds the engine that the settings ask for: behind the safety gate, in a worker process or on Ray replicas."""

from __future__ import annotations

import functools
import os

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.settings import Settings


def open_engine(settings: Settings) -> ImageEngine:
    """The engine to serve with. ZeroGPU lends its GPU to this process only, so there is no other one there.

    There the default model is loaded at once, by this thread: only what is on the device before the page is launched is kept.
    """
    if settings.replicas or settings.ray_application:
        from hypersd_app.server.engines.ray.start import open_ray_engine

        return open_ray_engine(settings, build_engine, Catalog(settings, behind=True, hashing=settings.hashing))
    if settings.worker and not os.environ.get("SPACES_ZERO_GPU"):
        catalog = Catalog(settings, behind=True, hashing=settings.hashing)
        return WorkerEngine(functools.partial(build_engine, settings), catalog, settings.hang_seconds)
    engine = build_engine(settings)
    if os.environ.get("SPACES_ZERO_GPU"):
        engine.warm_up(settings.default_model)
    return engine


def build_engine(settings: Settings) -> ImageEngine:
    """The engine in this process, its gate before it.

    Raises ModelUnavailable if the default model needs a checker that is not here, and other HyperSDErrors.
    """
    import torch  # comes in only where images are made

    from hypersd_app.engine.engine import Engine
    from hypersd_app.safety.gate import safety_gate
    from hypersd_app.server.engines.guarded import GuardedEngine

    if settings.threads:
        torch.set_num_threads(settings.threads)
    gate = safety_gate(settings)
    engine = Engine(settings)
    if gate is None:
        return engine
    gate.require(engine.catalog.model(settings.default_model).family)  # a public studio does not start unguarded
    return GuardedEngine(engine, gate)
