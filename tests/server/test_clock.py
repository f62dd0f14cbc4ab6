"""The machine's clock is set, forwards and back by years, while visitors draw: nobody notices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.server.http.tokens import TokenRefused, TokenSigner
from hypersd_app.server.scheduling.limits import RateBucket
from hypersd_app.server.scheduling.scheduler import Frame, FrameScheduler, lazy
from tests.support.fake_engine import FakeEngine
from tests.support.faulty_engine import build

JUMPS = [-400 * 86400.0, -3700.0, 3700.0, 400 * 86400.0]  # seconds
TIMEOUT = 120.0


@pytest.fixture(params=JUMPS, ids=[f"{jump / 3600:+.0f} h" for jump in JUMPS])
def jump(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Set the clock when called."""
    true, offset = time.time, [0.0]

    def told() -> float:
        return true() + offset[0]

    monkeypatch.setattr(time, "time", told)
    for function in (TokenSigner.__init__, RateBucket.__init__):  # what took the clock when it was defined
        defaults = tuple(told if value is true else value for value in function.__defaults__ or ())
        monkeypatch.setattr(function, "__defaults__", defaults)

    def set_clock() -> None:
        offset[0] = request.param

    return set_clock  # type: ignore[return-value]


def test_passes_last_as_long_as_they_were_issued_for(jump) -> None:  # type: ignore[no-untyped-def]
    signer, short = TokenSigner(), TokenSigner(lifetime=-1)
    token, old = signer.issue(), short.issue()
    jump()
    assert signer.visitor(token), "an open page stays"
    with pytest.raises(TokenRefused, match="too old"):
        short.visitor(old)


def test_strokes_are_drawn_and_rates_hold(jump) -> None:  # type: ignore[no-untyped-def]
    scheduler = FrameScheduler(lambda requests, _progress: [GenerationResult((), request) for request in requests])
    bucket = RateBucket(rate=0.001, burst=1)
    assert bucket.take()
    for sequence in (1, 2):
        frame: Future[Frame] = Future()
        scheduler.submit("a", sequence, lazy(GenerationRequest("a cat")), frame.set_result)
        found = frame.result(TIMEOUT)
        assert found.result is not None and 0 <= found.waited < 1000 * TIMEOUT
        jump()
    assert not bucket.take(), "a jump fills no bucket"
    scheduler.close()


def test_nothing_is_taken_for_hung() -> None:
    """One worker for all jumps: a process takes its time to start."""
    worker = WorkerEngine(build, FakeEngine(), hang_seconds=2.0)
    true = time.time
    try:
        assert worker.generate(GenerationRequest("a cat"))
        for offset in JUMPS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "time", lambda offset=offset: true() + offset)
                assert worker.generate(GenerationRequest("a cat"))
        assert worker.restarts == 0
    finally:
        worker.close()
