"""Networks compiled for static shapes: the same values, no end after eight shapes, batches filled up, and an honest label."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from hypersd_app.engine.backends import compiled
from hypersd_app.engine.backends.compiled import CompiledNetwork, filled_batch
from hypersd_app.engine.backends.torch_networks import TorchControlNetwork, TorchDecoder, TorchDenoiser
from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.sampling.generate import compiled_words
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models

COMPILING = replace(REFERENCE, compile=True)


@pytest.fixture
def eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are taken as for a compilation, and run by torch itself: seconds, not minutes."""
    really = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **options: really(call, **{**options, "backend": "eager", "mode": None}))


def arrive() -> None:
    """Weights are there."""


def test_batches_are_filled_up_to_few_sizes(eagerly: None) -> None:
    assert [filled_batch(count) for count in (1, 2, 3, 5, 8, 11)] == [1, 2, 4, 8, 8, 11]
    layer = nn.Linear(3, 2).requires_grad_(False)
    network = CompiledNetwork(layer, COMPILING)
    for count in (1, 2, 3, 4, 5, 7, 8):
        values = torch.randn(count, 3)
        assert torch.allclose(network(values), layer(values), atol=1e-6)
    assert len(network._made) == 4


def test_more_than_eight_shapes_stay_compiled(eagerly: None) -> None:
    layer = nn.Conv2d(3, 2, 1).requires_grad_(False)
    networks = [CompiledNetwork(layer, COMPILING) for _ in range(2)]
    for size in range(4, 16):
        for network in networks:
            values = torch.randn(1, 3, size, size)
            assert torch.allclose(network(values), layer(values), atol=1e-6)
    assert all(len(network._made) == 12 and network.state == "compiled" for network in networks)


def test_what_a_process_has_no_more_room_for_is_made_again(eagerly: None) -> None:
    layer = nn.Linear(3, 2).requires_grad_(False)
    network = CompiledNetwork(layer, COMPILING)
    with torch._dynamo.config.patch(accumulated_recompile_limit=3):
        for size in range(1, 9):
            values = torch.randn(1, size, 3)
            assert torch.allclose(network(values), layer(values), atol=1e-6)
    assert network.state == "compiled"


def test_the_oldest_shape_makes_room(eagerly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "KEPT", 2)
    network = CompiledNetwork(nn.Linear(3, 2).requires_grad_(False), COMPILING)
    for size in range(1, 5):
        network(torch.randn(1, size, 3))
    assert len(network._made) == 2


def test_what_cannot_be_compiled_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> object:
        raise torch._dynamo.exc.Unsupported("no compiler")

    layer = nn.Linear(3, 2).requires_grad_(False)
    plain, good = CompiledNetwork(layer, COMPILING), CompiledNetwork(layer, COMPILING)
    monkeypatch.setattr(plain, "_new", lambda: refused)
    monkeypatch.setattr(good, "_new", lambda: layer)
    values = torch.randn(1, 3)
    assert compiled_words(plain, None) == ""
    assert torch.equal(plain(values), layer(values)) and torch.equal(good(values), layer(values))
    assert compiled_words(plain, None) == ", not compiled"
    assert compiled_words(good, object()) == ", compiled" and compiled_words(good, plain) == ", partly compiled"


def test_unet_controlnet_and_decoder_give_the_same_values(eagerly: None) -> None:
    torch.manual_seed(0)
    unet = tiny_models.small_unet(32).requires_grad_(False).eval()
    from diffusers import ControlNetModel

    control = ControlNetModel.from_unet(unet).requires_grad_(False).eval()
    vae = tiny_models.small_tiny_decoder().requires_grad_(False).eval()
    latents, t, words = torch.randn(3, 4, 16, 16), torch.tensor(500), Conditioning(torch.randn(3, 7, 32))
    image, scales = torch.zeros(3, 128, 128, 3, dtype=torch.uint8), torch.tensor([1.0, 0.5, 0.0]).view(-1, 1, 1, 1)
    found = []
    for hardware in (REFERENCE, COMPILING):
        networks = TorchDenoiser(unet, hardware, arrive), TorchControlNetwork(control, hardware, arrive)
        decoder = TorchDecoder(vae, hardware, arrive)
        with torch.inference_mode():
            residuals = networks[1](latents, t, words, image, scales)
            found.append((networks[0](latents, t, words, residuals), networks[0](latents, t, words, None), decoder(latents[:1])))
        states = {network.state for network in (*networks, decoder)}
        assert states == ({"compiled"} if hardware.compile else {""})
    for plain, made in zip(*found, strict=True):
        assert torch.allclose(plain.float(), made.float(), atol=1e-4)


@pytest.mark.slow
def test_inductor_itself_gives_the_same_values() -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.SiLU()).requires_grad_(False)
    network = CompiledNetwork(layer, COMPILING)
    for count in (1, 3):
        values = torch.randn(count, 4, 8, 8).to(memory_format=torch.channels_last)
        assert torch.allclose(network(values), layer(values), atol=1e-5)
    assert network.state == "compiled"


def test_a_card_gets_graphs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    layer = nn.Linear(3, 2).requires_grad_(False)
    monkeypatch.setattr(torch, "compile", lambda call, **options: (asked.update(options), call)[1])
    network = CompiledNetwork(layer, Hardware("torch", "cuda", dtype=torch.float16, compile=True))
    values = torch.randn(2, 3)
    assert torch.equal(network(values), layer(values))
    assert asked["mode"] == "reduce-overhead" and asked["dynamic"] is False and asked["isolate_recompiles"] is True
