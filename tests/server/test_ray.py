"""The engine on replicas of Ray Serve. The cases run in a process of their own, with a limit: Ray would stay behind in this
one, which has Playwright's loop and forks workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.server.engines.ray.start import ALONE, QUIET
from tests.support.ray_engine import alive, children
from tests.support.server_process import await_ready

CASES = Path(__file__).parents[1] / "support" / "ray_cases.py"
MINUTES = 12
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="requirements-ray.txt is not installed"),
]


def test_the_cases_pass() -> None:
    command = [sys.executable, "-m", "pytest", str(CASES), "-p", "no:cacheprovider", "-x", "--timeout=240", "--show-capture=no"]
    environment = {**os.environ, **QUIET, **ALONE}  # the cases import Ray before they open an engine
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=60 * MINUTES)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("the cases did not end in time")
    assert process.returncode == 0, told[-8000:]


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
        began = time.monotonic()
        process.send_signal(number)
        process.wait(timeout=10)
        while any(alive(pid) for pid in cluster):
            assert time.monotonic() < began + 120, "still there"  # two agents of Ray first look for their cluster for a minute
            time.sleep(0.2)
        print(f"all gone {time.monotonic() - began:.1f} s after {number.name}")
    finally:
        process.kill()
        process.wait(10)
