"""A process for what imports Ray, which would stay behind in that of the tests, beside Playwright's loop and forked workers."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

from hypersd_app.server.engines.ray.start import QUIET
from tests.support.ray_engine import alive, children

CASES = "tests.support.ray_cases"
START, CLOSE = 120.0, 60.0  # seconds
GRACE = 5.0  # until whoever waits gives up, after the stacks were written


class RayProcess:
    """Runs the cases of `ray_cases` one after another in one process, so that they share its cluster.

    A case that does not end in time costs itself only: where it stood is written to standard error, its process and all that
    was started from there are killed, and the next case begins in a new one.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=set_environment, initargs=(self._environment,))
        self._pid = self._pool.submit(os.getpid).result(START)

    def run(self, name: str, *arguments: object, timeout: float = 240.0) -> None:
        """Run one case. Raises what it raised, with its traceback; TimeoutError if it does not end in time."""
        try:
            self._pool.submit(run_case, name, timeout, *arguments).result(timeout + GRACE)
        except TimeoutError:
            self._kill()
            self._start()
            raise

    def close(self) -> None:
        """Close the cluster, and kill what is left of it."""
        try:
            self._pool.submit(run_case, "close_shared", CLOSE).result(CLOSE + GRACE)
        finally:
            self._kill()

    def _kill(self) -> None:
        for pid in (self._pid, *children(self._pid)):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self._pool.shutdown(wait=False, cancel_futures=True)


def set_environment(variables: dict[str, str]) -> None:
    """In the process, before anything else: what the studio sets before it imports Ray comes too late for the cases' own import."""
    os.environ.update({**QUIET, **variables})


def run_case(name: str, seconds: float, *arguments: object) -> None:
    """In the process: Ray is imported here, after the environment was set."""
    faulthandler.dump_traceback_later(seconds)
    try:
        getattr(importlib.import_module(CASES), name)(*arguments)
    finally:
        faulthandler.cancel_dump_traceback_later()
