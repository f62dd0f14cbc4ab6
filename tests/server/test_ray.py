"""The engine on replicas of Ray Serve. What needs Ray runs in a process of its own: `tests/support/ray_cases.py`."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.server.engines.ray.start import ALONE, QUIET
from tests.support.ray_engine import alive, children
from tests.support.ray_process import RayProcess
from tests.support.server_process import await_ready

START = 420.0  # seconds; Ray starts a dozen processes, which takes minutes where others use the processor
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="requirements-ray.txt is not installed"),
]


@pytest.fixture(scope="module")
def cases() -> Iterator[RayProcess]:
    process = RayProcess({**QUIET, **ALONE})
    try:
        process.run("two_replicas", timeout=START)
        yield process
    finally:
        process.close()


SHARED = (
    "it_answers_as_the_engine_itself",
    "errors_cross_whole_and_cost_one_request",
    "no_port_is_open_beyond_this_machine",
    "two_replicas_draw_at_once",
)
LOSING_ONE = ("a_replica_that_hangs_is_replaced", "a_kill_under_load_loses_at_most_the_frames_in_flight")
OWN = (
    "replicas_that_cannot_start_say_why",
    "a_node_that_does_not_come_up_is_started_again",
    "replicas_are_added_while_all_are_busy",
    "replicas_share_one_card",
    "the_same_images_as_in_one_process",
)
WITHOUT_REPLICAS = ("a_name_has_the_base_and_the_styles", "idle_replicas_that_have_it_come_first")


@pytest.mark.parametrize("case", [*WITHOUT_REPLICAS, *SHARED])
def test_two_replicas(cases: RayProcess, case: str) -> None:
    cases.run(case)


@pytest.mark.parametrize("fault", ["die", "crash"])
def test_a_replica_that_dies_costs_its_batch(cases: RayProcess, fault: str) -> None:
    cases.run("a_replica_that_dies_costs_its_batch", fault)


@pytest.mark.parametrize("case", LOSING_ONE)
def test_one_replica_is_lost(cases: RayProcess, case: str) -> None:
    cases.run(case)


@pytest.mark.parametrize("case", OWN)
def test_a_cluster_of_its_own(cases: RayProcess, case: str) -> None:
    cases.run(case, timeout=START)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_ray_outlives_the_server(number: signal.Signals) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.serve_ray", str(port)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        await_ready(port, process)
        cluster = children(process.pid)
        assert len(cluster) > 4
        process.send_signal(number)
        process.wait(timeout=10)
        deadline = time.monotonic() + 120  # two agents of Ray first look for their cluster for a minute
        while any(alive(pid) for pid in cluster):
            assert time.monotonic() < deadline, "still there"
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait(10)
