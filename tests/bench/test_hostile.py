"""`bench worst` and `bench soak`, short: one address doing its worst, and visitors who come and go beside it.

Two minutes and an hour are for the commands; a suite that is run often has seconds. Times are compared with those of the same
run, and more is allowed for, since the machine that runs this is often busy: who waits for how much of another's work is counted
in `tests/server/test_long_work.py`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hypersd_app.bench.load.samples import Slope, fitted
from hypersd_app.bench.load.soak import soaked
from hypersd_app.bench.load.worst import NEVER, measured
from tests.support.event_loop import run_apart
from tests.support.server_process import await_ready
from tests.support.studio import free_port

ALLOWED = 4.0  # times the quiet time that half of the strokes take; the command asks for 2, and of 19 of 20
GROWN = 0.25  # of what there is, in the first minute of a server's life; the command asks for 0.05
SECONDS, QUIET, PAUSE = 12.0, 5.0, 0.5


@contextlib.contextmanager
def studio() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.serve_stepped", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_ready(port, process, answers=(200, 503))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def test_one_address_at_its_worst_holds_up_nobody_else() -> None:
    with studio() as address:
        worst = run_apart(measured(address, SECONDS, QUIET, warm_up=1.0, pause=PAUSE))
    seen = worst.hostile
    assert max(seen.pages) < NEVER and seen.tally.lost == seen.tally.errors == 0, str(worst)
    assert seen.stroke < ALLOWED * worst.quiet.stroke, str(worst)


def test_a_soak_in_a_minute_leaves_nothing_and_is_fair() -> None:
    with studio() as address:
        soak = run_apart(
            soaked(address, visitors=12, seconds=50.0, block=12.5, models=["pocket", "large"], warm_up=4.0, pause=PAUSE)
        )
    told = [fault for fault in soak.faults if fault.startswith(("images", "frames"))]
    assert not told and all(slope.flat(soak.hours, GROWN) for slope in soak.slopes.values()), f"{told}\n{soak}"
    assert soak.fairness > 0.85 and soak.p95[1] < ALLOWED * soak.p95[0], str(soak)
    assert soak.told["429"] > 0, "who asks too much is told"


def test_a_line_says_what_grows() -> None:
    hours = [i / 60 for i in range(20)]
    growing = fitted(hours, [100 + 60 * hour + (i % 3) for i, hour in enumerate(hours)])
    assert growing.an_hour == pytest.approx(60, abs=growing.interval) and not growing.flat(1.0, 0.05)
    noisy = fitted(hours, [100 + 5 * (i % 3) for i in range(20)])
    assert noisy.flat(1.0, 0.01) and noisy.interval > abs(noisy.an_hour)
    assert Slope(2.0, 0.5, 100.0).flat(1.0, 0.05) and not Slope(2.0, 0.5, 100.0).flat(10.0, 0.05)
