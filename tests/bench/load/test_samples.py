"""The soak's report: what fills up during the warm-up is no leak, what grows after it is."""

from __future__ import annotations

import pytest

from hypersd_app.bench.load.samples import MOST_LINES, slope, told, warmed

MINUTES = [i / 12 for i in range(361)]  # half an hour
FILLS_UP = [min(100.0, 10 * at) for at in MINUTES]
LEAKS = [200 + at for at in MINUTES]


def test_what_fills_up_to_a_bound_is_flat_after_the_warm_up() -> None:
    begin = warmed(MINUTES)
    assert MINUTES[begin] == pytest.approx(10)
    assert slope(MINUTES[begin:], FILLS_UP[begin:]) == pytest.approx(0, abs=1e-6)


def test_a_leak_is_told_an_hour() -> None:
    assert slope(MINUTES[120:], LEAKS[120:]) == pytest.approx(60)


def test_the_series_shows_the_whole_run() -> None:
    lines = told(MINUTES, {"server MB": FILLS_UP, "worker MB": LEAKS}).splitlines()
    assert len(lines) <= MOST_LINES + 3
    assert lines[0].split() == ["minute", "server", "MB", "worker", "MB"]
    assert lines[1].split() == ["0.0", "0", "200"] and lines[-2].split() == ["an", "hour*", "+0.0", "+60.0"]


def test_a_single_sample_grows_by_nothing() -> None:
    assert "+0.0" in told([0.0], {"server MB": [5.0]})
