"""A process for what imports Ray, which would stay behind in that of the tests, beside Playwright's loop and forked workers."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

from hypersd_app.server.engines.ray.start import QUIET
from tests.support.ray_engine import alive, children

CASES = "tests.support.ray_cases"


class RayProcess:
    """Runs the cases of `ray_cases` one after another in one process, so that they share its cluster."""

    def __init__(self, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=set_environment, initargs=(environment,))
        self._pid = self._pool.submit(os.getpid).result(60)

    def run(self, name: str, *arguments: object, timeout: float = 240.0) -> None:
        """Run one case. Raises what it raised, with its traceback; TimeoutError if it does not end in time."""
        self._pool.submit(run_case, name, *arguments).result(timeout)

    def close(self) -> None:
        """Close the cluster, and kill what is left of it."""
        started = children(self._pid)
        try:
            self.run("close_shared", timeout=60)
        finally:
            for pid in (self._pid, *started):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            self._pool.shutdown(cancel_futures=True)


def set_environment(variables: dict[str, str]) -> None:
    """In the process, before anything else: what the studio sets before it imports Ray comes too late for the cases' own import."""
    os.environ.update({**QUIET, **variables})


def run_case(name: str, *arguments: object) -> None:
    """In the process: Ray is imported here, after the environment was set."""
    getattr(importlib.import_module(CASES), name)(*arguments)
