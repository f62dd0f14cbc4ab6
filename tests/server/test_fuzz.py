"""A short pass of `python -m tests.support.fuzz`: no 500, no slow refusal, no dead thread, no stack, no honest frame lost."""

from __future__ import annotations

import pytest

from hypersd_app.server.http import middleware
from tests.support.fuzz import LIMITS, fuzz
from tests.support.studio import served

COUNT = 250


def test_no_input_stops_or_slows_anybody() -> None:
    with served(limits=LIMITS) as studio:
        report = fuzz(studio, COUNT, seed=1)
    assert not report.faults, "\n".join([*report.faults[:10], str(report)])
    assert report.answers.total() > 0.9 * COUNT and report.honest > 3


def test_a_fault_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pass on a studio that answers malformed calls with 500, as it did."""
    monkeypatch.setattr(middleware, "MALFORMED", ())
    with served(limits=LIMITS) as studio:
        report = fuzz(studio, COUNT // 2, seed=1)
    assert any(" 500 " in fault for fault in report.faults)
