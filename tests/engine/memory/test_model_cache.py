"""One load for many requests, least recently used out first, nothing in use evicted."""

from __future__ import annotations

import threading

import pytest

from hypersd_app.engine.memory.model_cache import Loaded, ModelCache
from hypersd_app.errors import DeviceOutOfMemory, ModelUnavailable


def value(name: str, size: int = 10, closed: list[str] | None = None):
    return lambda: Loaded(name, size, None if closed is None else lambda: closed.append(name))


def touch(residency: ModelCache, name: str, size: int = 10, closed: list[str] | None = None) -> None:
    with residency.lease(name, value(name, size, closed)) as found:
        assert found == name


def test_ten_requests_load_once():
    residency, started, finish = ModelCache(100), threading.Event(), threading.Event()
    loads = []

    def slow() -> Loaded:
        loads.append(1)
        started.set()
        finish.wait(10)
        return Loaded("model", 10)

    def ask() -> None:
        with residency.lease("model", slow):
            pass

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    started.wait(10)
    finish.set()
    for thread in threads:
        thread.join(10)
    counts = residency.statistics()
    assert len(loads) == 1
    assert (counts.hits, counts.loads, counts.bytes) == (9, 1, 10)


def test_a_failed_load_reaches_all_and_the_next_tries_again():
    residency = ModelCache(100)

    def failing() -> Loaded:
        raise ModelUnavailable("no")

    for _ in range(2):
        with pytest.raises(ModelUnavailable), residency.lease("a", failing):
            pass
    touch(residency, "a")
    assert residency.statistics().loads == 3


def test_the_least_recently_used_goes_first():
    residency, closed = ModelCache(30), []
    for name in ("a", "b", "c", "a", "d"):
        touch(residency, name, closed=closed)
    assert closed == ["b"]
    assert residency.statistics().resident == ("c", "a", "d")


def test_what_grows_counts_and_makes_others_go():
    residency, size = ModelCache(30), [0]
    with residency.lease("styled", lambda: Loaded("unet", 10, grown=lambda: size[0])):
        touch(residency, "idle")
        size[0] = 15
        residency.trim()
        assert residency.statistics().resident == ("styled",)
        assert residency.statistics().bytes == 25
        with pytest.raises(DeviceOutOfMemory, match="budget"):
            touch(residency, "large", 10)


def test_room_is_made_before_a_load_whose_size_is_known():
    residency, seen = ModelCache(25), []
    touch(residency, "old", 20)

    def load() -> Loaded:
        seen.append(residency.statistics().resident)
        return Loaded("new", 20)

    with residency.lease("new", load, estimate=20):
        assert seen == [()]


def test_evicted_memory_is_given_back():
    given = []
    residency = ModelCache(15, lambda: given.append(1))
    for name in ("a", "b", "b", "a"):
        touch(residency, name)
    assert len(given) == 2
    residency.clear()
    assert len(given) == 3


def test_what_is_in_use_stays_and_what_does_not_fit_is_refused():
    residency = ModelCache(25)
    with residency.lease("a", value("a")):
        touch(residency, "b")
        with pytest.raises(DeviceOutOfMemory, match="budget"):
            touch(residency, "large", 20)
        touch(residency, "c", 15)
        assert residency.statistics().resident == ("a", "c")
    touch(residency, "large", 20)
    assert residency.statistics().bytes <= 25
