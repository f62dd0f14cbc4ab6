"""Loading through the Hub's own protocol, true names, and every way in which it can fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hypersd_app.catalog.rows import WeightSource
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.hub import Hub, component_files
from hypersd_app.engine.requests import ControlInput, GenerationRequest
from hypersd_app.errors import ModelUnavailable
from tests.engine.conftest import HYPER, REFERENCE, SD15
from tests.engine.test_equivalence import SIZES, sketch
from tests.hub_server import HubServer

LORA = WeightSource(repo=HYPER, filename="Hyper-SD15-1step-lora.safetensors")


@pytest.fixture
def server(repositories, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for module in ("utils._http", "file_download"):  # the client waits between its attempts
        monkeypatch.setattr(f"huggingface_hub.{module}.time", SimpleNamespace(sleep=lambda seconds: None))
    with HubServer(repositories).running() as running:
        yield running


@pytest.fixture
def hub(server, tmp_path) -> Hub:
    return Hub(endpoint=server.endpoint, cache=tmp_path / "hub")


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_text_and_scribble_through_the_protocol(engine, settings, hub, model):
    size = SIZES[model]
    online = Engine(settings, hardware=REFERENCE, hub=hub)
    for control in (None, ControlInput(sketch(size))):
        request = GenerationRequest("a cat", model=model, recipe="unified", width=size, height=size, control=control)
        made, wanted = online.generate(request), engine.generate(request)
        assert np.array_equal(np.asarray(made.images[0]), np.asarray(wanted.images[0]))
    online.close()


def test_only_what_is_needed_is_downloaded(server, hub):
    hub.folder(WeightSource(repo=SD15), ["unet"])
    paths = [path for method, path in server.requests if method == "GET" and "resolve" in path]
    assert paths
    assert all("/unet/" in path for path in paths)


def test_a_second_time_downloads_nothing_and_works_offline(server, hub, tmp_path):
    first = hub.folder(WeightSource(repo=SD15), ["unet"])
    offline = Hub(offline=True, endpoint=server.endpoint, cache=tmp_path / "hub")
    count = len(server.requests)
    assert offline.folder(WeightSource(repo=SD15), ["unet"]).resolve() == first.resolve()
    assert len(server.requests) == count


def test_progress_is_reported(hub):
    seen = []
    hub.file(LORA, lambda share, text: seen.append((share, text)))
    assert seen
    assert seen[-1][0] == pytest.approx(1.0)
    assert "Hyper-SD15-1step-lora" in seen[-1][1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing-repo", "does not exist"),
        ("missing-file", "does not hold the file"),
        ("unauthorized", "HF_TOKEN"),
        ("gated", "accepted licence"),
        ("broken", "500"),
        ("cut", "broke off"),
        ("wrong-hash", "damaged"),
        ("truncated", "damaged"),
    ],
)
def test_each_failure_is_named_and_a_retry_works(server, hub, repositories, fault, words):
    server.fail(LORA.filename, fault)
    with pytest.raises(ModelUnavailable, match=words):
        hub.file(LORA)
    server.heal()
    assert hub.file(LORA).read_bytes() == (repositories / LORA.repo / LORA.filename).read_bytes()


def test_a_cut_download_continues_where_it_stopped(server, hub, repositories):
    server.fail(LORA.filename, "cut", times=1)
    assert hub.file(LORA).read_bytes() == (repositories / LORA.repo / LORA.filename).read_bytes()


def test_without_network_the_message_says_so_and_pocket_still_draws(settings, tmp_path):
    offline = Engine(settings, hardware=REFERENCE, hub=Hub(endpoint="http://127.0.0.1:9", cache=tmp_path / "hub"))
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        offline.generate(GenerationRequest("a cat", model="sd15"))
    assert offline.generate(GenerationRequest("a cat", recipe="unified")).images
    offline.close()


def test_component_files_prefer_half_size_and_never_pickles():
    names = [
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors", "v1-5.safetensors",
        "vae/config.json",
    ]  # fmt: skip
    assert component_files(names, "unet") == ["unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"]
    assert component_files(names, "") == ["model_index.json"]
    assert component_files(names, "unet", with_weights=False) == ["unet/config.json"]
