"""What `test_ray.py` runs in the process of Ray: two replicas, of the fake engine with real faults, and of Pocket.

A case asks for `two_replicas()`, which stay for the next one, or opens an engine of its own by `own_engine`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import ray

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.bench.load.bench import draw, summed
from hypersd_app.bench.load.server import RunningServer
from hypersd_app.errors import HyperSDError, InvalidRequest, ModelUnavailable, WorkerLost
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.server.engines.factory import open_engine
from hypersd_app.server.engines.protocol import CatalogReader, ImageEngine
from hypersd_app.server.engines.ray.engine import RayEngine
from hypersd_app.server.engines.ray.router import base_of, rank
from hypersd_app.server.engines.ray.start import open_ray_engine
from hypersd_app.server.scheduling.scheduler import Outcome
from hypersd_app.settings import Settings
from hypersd_app.ui.app import build_studio
from tests.support.fake_engine import FakeEngine
from tests.support.faulty_engine import cannot_build
from tests.support.ray_engine import begun, children, faulty, open_ports

TIMEOUT = 150.0  # seconds; a new replica imports all it needs, which takes long where others use the processor
GOOD = GenerationRequest("a cat", seed=3)
SLOW = GenerationRequest("slow", seed=3)
HANGING = 60.0  # seconds; longer than a replica may be silent
_shared: list[RayEngine] = []


def two_replicas() -> RayEngine:
    """The engine that cases share, once both of its replicas are there."""
    if not _shared:
        _shared.append(open_ray_engine(Settings(replicas=2, hang_seconds=1.0), faulty, FakeEngine()))
    await_replicas(_shared[0], 2)
    return _shared[0]


def close_shared() -> None:
    """A process has one cluster: what is open is closed before another one is started, and in the end."""
    while _shared:
        _shared.pop().close()


@contextmanager
def own_engine(settings: Settings, build: Callable[[Settings], ImageEngine], catalog: CatalogReader) -> Iterator[RayEngine]:
    """An engine that a case may treat as it likes."""
    close_shared()
    made = open_ray_engine(settings, build, catalog)
    try:
        yield made
    finally:
        made.close()


def await_replicas(engine: RayEngine, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while len(set(engine.status()["pids"])) != count or engine.replicas != count:
        assert time.monotonic() < deadline, f"{engine.replicas} replicas run"
        time.sleep(0.2)


def it_answers_as_the_engine_itself() -> None:
    whole = two_replicas()
    fake = FakeEngine()
    sketch = ControlInput(np.eye(16, dtype=np.uint8)[..., None].repeat(3, 2) * 255)
    request = GenerationRequest("a cat", seed=9, num_images=2, styles=(StyleWeight("ink", 0.5),), control=sketch)
    told: list[tuple[object, ...]] = []
    there, here = whole.generate(request, lambda *values: told.append(values)), fake.generate(request)
    assert [image.tobytes() for image in there.images] == [image.tobytes() for image in here.images]
    assert told, "progress comes back"
    drawn = whole.generate_batch([GOOD, GenerationRequest("a dog", seed=4)])
    assert [result.request.seed for result in drawn] == [3, 4]  # type: ignore[union-attr]
    assert whole.annotate("canny", there.images[0], (8, 8)).shape == (8, 8, 3)
    whole.rescan()
    whole.prepare(request)


def errors_cross_whole_and_cost_one_request() -> None:
    whole = two_replicas()
    with pytest.raises(InvalidRequest, match="one of pocket, large") as raised:
        whole.generate(GenerationRequest("a cat", model="none"))
    assert raised.value.field == "model"
    with pytest.raises(HyperSDError, match="log says why"):
        whole.generate_batch([GenerationRequest("memory")])
    assert whole.generate(GOOD).images and whole.lost == 0


def no_port_is_open_beyond_this_machine() -> None:
    two_replicas()
    ports = {pid: list(open_ports(pid)) for pid in (os.getpid(), *children(os.getpid()))}
    assert not {pid: found for pid, found in ports.items() if found}


def two_replicas_draw_at_once() -> None:
    whole = two_replicas()
    # Two that come in the same instant may both find the same one idle.
    assert any(len(set(drawn_at_once(whole))) == 2 for _ in range(5))


def drawn_at_once(engine: RayEngine) -> list[int]:
    """The processes that drew two slow images, asked for at the same time."""
    with ThreadPoolExecutor(2) as pool:
        return [drawn_by(outcomes) for outcomes in pool.map(engine.generate_batch, [[SLOW], [SLOW]])]


def drawn_by(outcomes: Sequence[Outcome]) -> int:
    return int(outcomes[0].backend)  # type: ignore[union-attr]


def a_replica_that_dies_costs_its_batch(fault: str) -> None:
    whole = two_replicas()
    lost, pids = whole.lost, whole.status()["pids"]
    with pytest.raises(WorkerLost) as raised:
        whole.generate_batch([GenerationRequest(fault)])
    assert raised.value.retry_after > 0 and "another one" in str(raised.value)
    assert drawn_by(whole.generate_batch([GOOD])) in pids, "the other replica goes on"
    assert whole.lost == lost + 1
    await_replicas(whole, 2)


def a_replica_that_hangs_is_replaced() -> None:
    whole = two_replicas()
    await_both_have_drawn(whole)
    hanging = begun(whole.generate_batch, [GenerationRequest("hang")])
    time.sleep(0.5)
    assert whole.generate_batch([GOOD]), "the other replica goes on"
    with pytest.raises(WorkerLost):
        hanging.result(timeout=TIMEOUT)
    await_replicas(whole, 2)


def await_both_have_drawn(engine: RayEngine) -> None:
    """Silence is no compiling, then. A new replica gets nothing to draw until the router knows what it has loaded."""
    deadline = time.monotonic() + TIMEOUT
    have_drawn: set[int] = set()
    while len(have_drawn) < 2:
        assert time.monotonic() < deadline, f"only {have_drawn} drew"
        have_drawn.update(drawn_at_once(engine))


def a_kill_under_load_loses_at_most_the_frames_in_flight() -> None:
    whole = two_replicas()
    settings = Settings(port=free_port(), replicas=2)
    studio = build_studio(whole, settings)
    studio.launch(prevent_thread_lock=True)
    try:
        loaded = begun(asyncio.run, loaded_by(f"http://127.0.0.1:{settings.port}", 8.0))
        time.sleep(4.0)
        os.kill(whole.status()["pids"][0], signal.SIGKILL)
        row, before, after = loaded.result(timeout=TIMEOUT)
    finally:
        studio.service.close()
        studio.page.close(verbose=False)
    assert row.sound and row.lost == 0, "nobody waits for an answer that never comes"
    assert row.errors <= 2 * 4, "a batch that is drawn and one that waits behind it"
    assert after > before / 4, "the other replica draws on"


async def loaded_by(address: str, seconds: float) -> tuple[object, int, int]:
    server = RunningServer(address)
    await server.open()
    tallies = await draw(server, 8, seconds / 2, [], 0.0)
    again = await draw(server, 8, seconds / 2, [], 0.0)
    await server.close()
    images = [sum(tally.images for tally in part) for part in (tallies, again)]
    return summed(8, [*tallies, *again]), images[0], images[1]


def replicas_that_cannot_start_say_why() -> None:
    close_shared()
    with pytest.raises(ModelUnavailable, match="no such model"):
        open_ray_engine(Settings(replicas=1), lambda _settings: cannot_build(), FakeEngine())


def a_node_that_does_not_come_up_is_started_again() -> None:
    failures = [Exception("The current node timed out during startup.")]
    really = ray.init

    def init(**options: object) -> object:
        if failures:
            raise failures.pop()
        return really(**options)

    with patch.object(ray, "init", init):
        with own_engine(Settings(replicas=1), faulty, FakeEngine()) as engine:
            assert engine.generate(GOOD).images and not failures
        failures.extend([Exception("The current node timed out during startup.")] * 5)
        with pytest.raises(ModelUnavailable, match="Ray did not start: The current node"):
            open_ray_engine(Settings(replicas=1), faulty, FakeEngine())


def replicas_share_one_card() -> None:
    really = ray.init

    def with_a_card(**options: object) -> object:
        return really(**options, num_gpus=1)  # Ray counts what it is told; nothing here uses it

    close_shared()
    with patch.object(ray, "init", with_a_card):
        engine = open_ray_engine(Settings(replicas=2), faulty, FakeEngine())
    try:
        await_replicas(engine, 2)
        assert ray.available_resources().get("GPU", 0.0) < 0.01
        joined = open_ray_engine(Settings(ray_application="hypersd-studio"), faulty, FakeEngine())
        assert joined.generate(GOOD).images, "another process may draw on what is deployed"
    finally:
        engine.close()


def replicas_are_added_while_all_are_busy() -> None:
    def draw_until_there_are_two(engine: RayEngine, deadline: float) -> None:
        while engine.replicas < 2 and time.monotonic() < deadline:
            engine.generate_batch([SLOW])

    with own_engine(Settings(replicas=1, most_replicas=2), faulty, FakeEngine()) as engine:
        assert engine.replicas == 1 and engine.slots() == 2
        deadline = time.monotonic() + TIMEOUT
        drawing = [begun(draw_until_there_are_two, engine, deadline) for _ in range(2)]
        for future in drawing:  # no pool: leaving one would wait for ever for an answer that does not come
            future.result(timeout=TIMEOUT + HANGING)
        assert engine.replicas == 2 and engine.slots() == 3


def the_same_images_as_in_one_process() -> None:
    from hypersd_app.engine.engine import Engine

    exact = Settings(backend="torch", precision="float32")  # in bfloat16 an image depends on how many threads add up
    stroke = np.zeros((256, 256, 3), np.uint8)
    stroke[100:110, 40:200] = 255
    words = ("a cat", "a red apple", "a rocket", "a blue car")
    requests = [GenerationRequest(prompt, seed=7 + i, control=ControlInput(stroke)) for i, prompt in enumerate(words)]
    alone = Engine(exact)
    expected = [np.asarray(result.images[0]).astype(int) for result in alone.generate_batch(requests)]
    alone.close()
    close_shared()
    engine = open_engine(replace(exact, replicas=2))
    try:
        with ThreadPoolExecutor(2) as pool:
            for drawn in pool.map(engine.generate_batch, [requests, requests]):
                found = [np.asarray(result.images[0]).astype(int) for result in drawn]  # type: ignore[union-attr]
                largest = max(int(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))
                assert largest <= 2
        await_replicas(engine, 2)  # one that draws may be late to say how it is
    finally:
        engine.close()


def model_id(request: GenerationRequest) -> str:
    return request.batch_key().weights


def a_name_has_the_base_and_the_styles() -> None:
    styled = GenerationRequest("a cat", model="pocket", styles=(StyleWeight("ink", 0.5), StyleWeight("clay")))
    assert model_id(styled) == model_id(GenerationRequest("a dog", styles=(StyleWeight("clay", 2.0), StyleWeight("ink"))))
    assert model_id(styled) != model_id(GOOD) and base_of(model_id(styled)) == "pocket"


def idle_replicas_that_have_it_come_first() -> None:
    wanted = model_id(GenerationRequest("a cat", styles=(StyleWeight("ink"),)))
    base, other = {model_id(GOOD)}, {model_id(GenerationRequest("a cat", model="large"))}
    ranks = [rank(wanted, {wanted}, 0), rank(wanted, base, 0), rank(wanted, base, 1), rank(wanted, other, 0), rank(wanted, base, 2)]
    assert ranks == sorted(set(ranks)) and rank("", set(), 0) == rank("", {wanted}, 5)
