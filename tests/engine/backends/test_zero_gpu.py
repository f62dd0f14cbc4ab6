"""Where a Space lends GPUs by the call: networks run in the lent call only, and all that crosses into it can be pickled."""

from __future__ import annotations

import importlib.machinery
import pickle
import sys
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
import torch

from hypersd_app.engine.backends.torch_backend import StyledTorchDenoiser
from hypersd_app.engine.backends.torch_networks import TorchControlNetwork, TorchDecoder
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.zero_gpu import borrowing
from hypersd_app.errors import DeviceOutOfMemory, HyperSDError, NoGpu
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models
from tests.support.drawings import sketch

NETWORKS = (StyledTorchDenoiser, TorchControlNetwork, TorchDecoder)


class LentGpu(ModuleType):
    """`spaces`, as far as the engine uses it: arguments and results go through a pipe to another process there."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.__spec__ = importlib.machinery.ModuleSpec("spaces", None)
        self.lent = False
        self.calls = 0
        self.seconds = []
        self.refusal = None

    def GPU(self, function, duration):  # noqa: N802
        def call(*args):
            self.calls += 1
            self.seconds.append(duration(*args))
            if self.refusal is not None:
                raise self.refusal
            arguments, self.lent = pickle.loads(pickle.dumps(args)), True
            try:
                return pickle.loads(pickle.dumps(function(*arguments)))
            finally:
                self.lent = False

        return call


@pytest.fixture
def spaces(monkeypatch) -> LentGpu:
    module = LentGpu()
    monkeypatch.setitem(sys.modules, "spaces", module)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    for network in NETWORKS:
        forward = network.__call__

        def lent_only(self, *args, forward=forward):
            assert module.lent, "a network ran outside of the lent call"
            return forward(self, *args)

        monkeypatch.setattr(network, "__call__", lent_only)
    return module


@pytest.fixture
def lending(spaces, settings, repositories):
    made = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    yield made
    made.close()


REQUESTS = [
    GenerationRequest("a cat", recipe="unified", seed=2, styles=(StyleWeight("ink"),), control=ControlInput(sketch(256))),
    GenerationRequest("a cat", model="sd15", recipe="unified", width=256, height=256, num_images=2),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_lent_gpu_draws_and_nobody_else(lending, spaces, settings, repositories, monkeypatch, request_):
    steps = []
    made = lending.generate(request_, lambda share, text, *_: steps.append(text))
    assert spaces.calls == 1
    spaces.lent = True  # the same without lending
    plain = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    plain._draw_on_lent_gpu = None
    expected = plain.generate(request_)
    for one, other in zip(made.images, expected.images, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert set(made.milliseconds) == set(expected.milliseconds)
    plain.close()


def test_batches_and_warming_go_through_it_too(lending, spaces):
    lending.warm_up("pocket")
    calls = spaces.calls
    assert len(lending.generate_batch([GenerationRequest(words, recipe="unified") for words in ("a cat", "a dog")])) == 2
    assert spaces.calls == calls + 1, "a batch borrows the device once"


def test_requests_of_any_kind_share_one_call(lending, spaces):
    requests = [*REQUESTS, GenerationRequest("a cat", recipe="unified", seed=3, num_inference_steps=4)]
    assert lending.lent_seconds(requests) == [pytest.approx(spaces_seconds(lending, spaces, requests), abs=1)]
    spaces.calls = 0
    made = lending.generate_batch(requests)
    assert spaces.calls == 1
    for one, request in zip(made, requests, strict=True):
        alone = lending.generate(request)
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(one.pixels, alone.pixels, strict=True))


def spaces_seconds(lending: Engine, spaces: LentGpu, requests: list[GenerationRequest]) -> int:
    """What a call with these asks for."""
    spaces.refusal = gr.Error("not now", title="ZeroGPU")
    with pytest.raises(NoGpu):
        lending.generate_batch(requests)
    spaces.refusal = None
    return spaces.seconds[-1]


def test_what_takes_longer_than_a_gpu_is_lent_for_is_several_calls(lending, spaces, monkeypatch):
    monkeypatch.setattr("hypersd_app.engine.memory.zero_gpu.MOST_SECONDS", 7.5)
    requests = [GenerationRequest("a cat", recipe="unified", seed=seed) for seed in range(4)]
    assert len(lending.lent_seconds(requests)) == 2
    assert len(lending.generate_batch(requests)) == 4 and spaces.calls == 2


def test_one_that_fails_costs_no_other_of_its_call(lending, spaces, monkeypatch):
    def failing(plan, *_):
        if plan.request.seed == 5:
            raise DeviceOutOfMemory("no room")
        return really(plan, *_)

    really = lending._models.open
    monkeypatch.setattr(lending._models, "open", failing)
    made = lending.generate_batch([GenerationRequest("a cat", recipe="unified", seed=seed) for seed in (4, 5, 6)])
    assert isinstance(made[1], DeviceOutOfMemory) and made[0].images and made[2].images and spaces.calls == 1


def test_warming_up_loads_and_borrows_nothing(lending, spaces):
    lending.warm_up("pocket")
    assert spaces.calls == 0 and lending.status()["resident"] and lending.status()["lent"]


def test_what_takes_longer_asks_for_more_seconds(lending, spaces):
    for steps, count in ((1, 1), (8, 1), (8, 4)):
        lending.generate(GenerationRequest("a cat", recipe="unified", num_inference_steps=steps, num_images=count))
    assert sorted(spaces.seconds) == spaces.seconds and spaces.seconds[0] >= 6 and spaces.seconds[2] > spaces.seconds[0]


def test_a_refusal_is_told_in_its_own_words(lending, spaces):
    spaces.refusal = gr.Error("You have exceeded your GPU quota. Try again in 0:10:00", title="ZeroGPU quota exceeded")
    with pytest.raises(NoGpu, match="ZeroGPU quota exceeded: You have exceeded your GPU quota"):
        lending.generate(REQUESTS[0])
    with pytest.raises(NoGpu, match=r"would have taken \d+ s"):
        lending.generate_batch(REQUESTS)
    spaces.refusal = None
    assert lending.generate(REQUESTS[0]).images, "the next one is not harmed"


def test_errors_keep_their_words_on_the_way_back(lending, monkeypatch):
    def exhausted(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("hypersd_app.engine.sampling.generate.decode", exhausted)
    with pytest.raises(DeviceOutOfMemory, match="while drawing"):
        lending.generate(REQUESTS[0])
    monkeypatch.setattr(
        "hypersd_app.engine.sampling.generate.decode", lambda *_: (_ for _ in ()).throw(HyperSDError("not a number"))
    )
    with pytest.raises(HyperSDError, match="not a number"):
        lending.generate(REQUESTS[0])


def test_without_a_lent_gpu_nothing_is_wrapped(monkeypatch):
    assert borrowing(len) is None
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert borrowing(len) is None
