"""Where weights stay: the choice by size, and that images are the same wherever they stay.

No GPU here: moving is tried with the CPU as the device and with modules that note where they are sent, borrowing by
precision and with weightless tensors of the meta device.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hypersd_app.engine import model_manager
from hypersd_app.engine.backends.offload import Stage, Visitor, sequential_offload
from hypersd_app.engine.backends.registry import Backends
from hypersd_app.engine.backends.torch_backend import TorchBackend
from hypersd_app.engine.diffusers_pipelines import DiffusersSizes
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.placement import Footprint, Placement, Placements, Tier, choose_placement
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from tests.engine.backends.test_openvino import decibels
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models
from tests.support.drawings import SIZES, sketch

GB = 10**9
SDXL = Footprint(text=817_000_000, unet=2_567_000_000, decoder=49_000_000)
POCKET = Footprint(text=21_000_000, unet=43_000_000, decoder=4_000_000)
SD15 = Footprint(text=123_000_000, unet=860_000_000, decoder=49_000_000)
CONTROL = 1_251_000_000
GPU = Hardware("torch", "cuda", dtype=torch.float16)
OPENVINO = Hardware("openvino", "cpu", dtype=torch.float32)
OPENVINO_HALF = Hardware("openvino", "cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("hardware", "budget", "footprint", "expected"),
    [
        (GPU, 12, SDXL, Placement("torch")),
        (GPU, 6, SDXL, Placement("torch", Tier.MODEL_OFFLOAD)),
        (GPU, 6, replace(SDXL, control=CONTROL), Placement("torch", Tier.SEQUENTIAL_OFFLOAD)),
        (GPU, 4, SDXL, Placement("torch", Tier.SEQUENTIAL_OFFLOAD)),
        (GPU, 4, SD15, Placement("torch")),
        (OPENVINO, 12, SD15, Placement("openvino")),
        (OPENVINO, 15, SDXL, Placement("torch")),
        (OPENVINO, 15, replace(SDXL, control=CONTROL), Placement("torch", Tier.SEQUENTIAL_OFFLOAD)),
        (OPENVINO, 60, replace(SDXL, control=CONTROL), Placement("openvino")),
        (OPENVINO_HALF, 16, SDXL, Placement("openvino")),
        (OPENVINO_HALF, 10, SDXL, Placement("torch")),
        (OPENVINO, 12, POCKET, Placement("openvino", small=True)),
    ],
)
def test_the_fastest_way_that_fits_is_taken(hardware, budget, footprint, expected):
    assert choose_placement(hardware, budget * GB, footprint) == expected


@pytest.mark.parametrize(
    ("spare", "threads", "small", "expected"), [(1, 0, 1, 3), (1, 0, 0, 0), (0, 0, 1, 0), (9, 0, 1, 1), (1, 2, 1, 2)]
)
def test_a_small_network_leaves_a_core_to_the_browser(monkeypatch, tmp_path, spare, threads, small, expected):
    monkeypatch.setattr("hypersd_app.engine.backends.openvino.backend.cores", lambda: 4)
    backends = Backends(replace(OPENVINO, spare_cores=spare, threads=threads), tmp_path)
    backend = backends.of(Placement("openvino", small=bool(small)))
    assert backend._properties.get("INFERENCE_NUM_THREADS", 0) == expected


def test_what_stepped_down_stays_there():
    placements = Placements(GPU, 6 * GB)
    with_control = replace(SDXL, control=CONTROL)
    assert placements.of("sdxl", "alone", lambda: SDXL)[0].tier is Tier.MODEL_OFFLOAD
    assert placements.of("sdxl", "sketch", lambda: with_control) == (Placement("torch", Tier.SEQUENTIAL_OFFLOAD), with_control)
    assert placements.of("sdxl", "alone", lambda: pytest.fail("counted once")) == (
        Placement("torch", Tier.SEQUENTIAL_OFFLOAD),
        SDXL,
    )
    assert "layer by layer" in placements.label(Placement("torch", Tier.SEQUENTIAL_OFFLOAD))


def test_large_foreign_pipelines_are_moved_by_parts_or_layers():
    sizes = DiffusersSizes(total=30 * GB, largest=20 * GB)
    assert [sizes.tier(GPU, budget * GB) for budget in (32, 24, 16)] == [Tier.RESIDENT, Tier.MODEL_OFFLOAD, Tier.SEQUENTIAL_OFFLOAD]
    assert sizes.tier(REFERENCE, 16 * GB) is Tier.RESIDENT, "on the CPU there is nowhere to move from"
    assert [sizes.on_device(tier) for tier in (Tier.RESIDENT, Tier.MODEL_OFFLOAD, Tier.SEQUENTIAL_OFFLOAD)] == [30 * GB, 20 * GB, 0]


def test_groups_take_turns_on_the_device(monkeypatch):
    log: list[tuple[str, str]] = []
    stage = Stage(torch.device("meta"))
    text, unet, control = (nn.Linear(2, 2) for _ in range(3))
    names = {id(text): "text", id(unet): "unet", id(control): "control"}
    monkeypatch.setattr(Visitor, "arrive", lambda one: log.append((names[id(one.module)], "device")))
    monkeypatch.setattr(Visitor, "leave", lambda one: log.append((names[id(one.module)], "home")))
    for group, module in (("text", text), ("denoise", control), ("denoise", unet), ("denoise", control), ("denoise", unet)):
        stage.enter(group, module)
    assert log == [("text", "device"), ("text", "home"), ("control", "device"), ("unet", "device")]
    stage.drop(control)
    stage.enter("text", text)
    assert log[4:] == [("unet", "home"), ("text", "device")], "what was evicted is not moved any more"


def test_weights_are_dropped_unless_a_style_changed_them():
    stage, unet, text = Stage(torch.device("cpu")), nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    at_home = unet.weight.data
    visitor = Visitor(unet, torch.device("cpu"))
    visitor._home = [home.clone() for home in visitor._home]  # the CPU stands in for a device: its copies are others
    stage._known[unet] = visitor
    for change in (False, True):
        stage.enter("denoise", unet)
        unet.weight.data = unet.weight.data.clone()
        if change:
            stage.change(unet)
        unet.weight.add_(1.0)
        stage.enter("text", text)
        assert torch.equal(unet.weight, at_home + change)
        assert unet.weight.data_ptr() == visitor._home[0].data_ptr(), "one place at home"


def test_a_small_decoder_stays_on_the_device(monkeypatch):
    from hypersd_app.engine.backends import torch_backend
    from tests.support.tiny_models import small_tiny_decoder

    sent: list[str] = []
    monkeypatch.setattr(Stage, "enter", lambda _stage, group, _module: sent.append(group))
    for limit, expected in ((0, ["decode"]), (10**6, [])):
        monkeypatch.setattr(torch_backend, "STAYS", limit)
        sent.clear()
        loaded = TorchBackend(REFERENCE, Tier.MODEL_OFFLOAD).decoder("tiny", lambda _dtype: small_tiny_decoder())
        loaded.value(torch.zeros(1, 4, 8, 8))
        assert sent == expected and (loaded.bytes > 0) is (limit > 0), "what stays is counted"


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(1), nn.Linear(4 * 36, 5)).requires_grad_(False)


def test_borrowed_weights_compute_what_resident_ones_do():
    x, plain = torch.randn(2, 3, 8, 8), small_network().half().float()
    streamed = sequential_offload(small_network(), torch.float16, torch.float32, torch.device("cpu"))
    assert torch.equal(streamed(x), plain(x))
    assert {streamed[0].weight.dtype, streamed[3].bias.dtype, streamed[1].weight.dtype} == {torch.float16, torch.float32}
    assert [type(layer).__mro__[1] for layer in (streamed[0], streamed[3])] == [nn.Conv2d, nn.Linear]


def test_weights_are_borrowed_by_the_device_that_computes():
    streamed = sequential_offload(small_network(), torch.float16, torch.float32, torch.device("meta"))
    assert [streamed[i].weight.device.type for i in (0, 1, 3)] == ["cpu", "meta", "cpu"]
    made = streamed(torch.empty(2, 3, 8, 8, device="meta"))
    assert (made.device.type, made.dtype, made.shape) == ("meta", torch.float32, (2, 5))


CASES = {
    "pocket": {"styles": (StyleWeight("ink", 0.7),), "control": ControlInput(sketch(256))},
    "sd15": {"num_inference_steps": 2},
    "sdxl": {"recipe": "8steps-cfg", "num_inference_steps": 8, "negative_prompt": "dog", "control": ControlInput(sketch(512))},
}  # fmt: skip


def request(model: str) -> GenerationRequest:
    values = {"recipe": "unified", "width": SIZES[model], "height": SIZES[model], **CASES[model]}
    return GenerationRequest("a cat", model=model, seed=5, **values)


def forced(settings, repositories, monkeypatch, tier: Tier) -> Engine:
    engine = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    monkeypatch.setattr(engine._models.placements, "of", lambda *_: (Placement("torch", tier), Footprint(0, 0, 0)))
    return engine


@pytest.mark.parametrize("model", CASES)
def test_parts_that_take_turns_draw_the_same(engine, settings, repositories, monkeypatch, model):
    moved, seen = forced(settings, repositories, monkeypatch, Tier.MODEL_OFFLOAD), []
    enter = Stage.enter
    monkeypatch.setattr(Stage, "enter", lambda stage, group, module: (seen.append(group), enter(stage, group, module)))
    made, expected = moved.generate(request(model)), engine.generate(request(model))
    assert np.array_equal(np.asarray(made.images[0]), np.asarray(expected.images[0]))
    assert list(dict.fromkeys(seen)) == ["text", "denoise"], "the small decoder stays"
    assert "take turns" in made.backend
    moved.close()


@pytest.mark.parametrize("model", CASES)
def test_streamed_weights_draw_the_same_but_for_their_sixteen_bits(engine, settings, repositories, monkeypatch, model):
    streamed = forced(settings, repositories, monkeypatch, Tier.SEQUENTIAL_OFFLOAD)
    styled = replace(request(model), recipe="unified", num_inference_steps=1, negative_prompt="")
    made, expected = streamed.generate(styled), engine.generate(styled)
    assert decibels(made.images[0], expected.images[0]) >= 30
    plain = replace(styled, styles=())
    before = np.asarray(streamed.generate(plain).images[0])
    streamed.generate(styled)
    assert np.array_equal(np.asarray(streamed.generate(plain).images[0]), before), "styles leave nothing behind here too"
    assert streamed.status()["bytes"] < 0.85 * engine.status()["bytes"] or model != "pocket"
    streamed.close()


def test_a_model_that_does_not_fit_in_single_precision_is_streamed_and_says_so(engine, settings, repositories):
    wanted = replace(request("pocket"), styles=(), control=None)
    whole = engine.generate(wanted)
    budget = engine.status()["bytes"] * 0.8 / 1e9
    short = Engine(replace(settings, memory_gb=budget), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    made = short.generate(wanted)
    assert "16 bits" in made.backend
    assert "16 bits" not in whole.backend
    assert short.status()["bytes"] <= short.status()["budget"]
    assert decibels(made.images[0], whole.images[0]) >= 30
    short.close()


def test_openvino_steps_aside_where_it_does_not_fit(engine, settings, repositories):
    pytest.importorskip("openvino")
    wanted = replace(request("pocket"), styles=(), control=None)
    expected = engine.generate(wanted)
    budget = engine.status()["bytes"] * 1.05 / 1e9  # enough for torch, not for a conversion beside it
    short = Engine(replace(settings, memory_gb=budget), hardware=OPENVINO, hub=tiny_models.FolderHub(repositories))
    made = short.generate(wanted)
    assert made.backend.startswith("torch")
    assert np.array_equal(np.asarray(made.images[0]), np.asarray(expected.images[0]))
    short.close()


def test_backends_are_made_once_a_placement(tmp_path):
    backends = Backends(REFERENCE, tmp_path)
    streamed = backends.of(Placement("torch", Tier.SEQUENTIAL_OFFLOAD))
    assert isinstance(streamed, TorchBackend)
    assert backends.of(Placement("torch", Tier.SEQUENTIAL_OFFLOAD)) is streamed
    assert backends.of(Placement("torch")) is not streamed
    assert model_manager.Placement is Placement
