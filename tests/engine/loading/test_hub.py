"""Loading through the Hub's own protocol, true names, and every way in which it can fail."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.engine.engine import Engine
from hypersd_app.errors import ModelUnavailable
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.settings import ROOT
from hypersd_app.weights import downloads
from hypersd_app.weights.hub import Hub, component_files
from tests.engine.conftest import HYPER, REFERENCE, SD15
from tests.support import tiny_models
from tests.support.drawings import SIZES, sketch
from tests.support.hub_server import COMMIT, HubServer

LORA = WeightSource(repo=HYPER, filename="Hyper-SD15-1step-lora.safetensors")


@pytest.fixture
def server(repositories, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # the client waits between attempts
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    with HubServer(repositories).running() as running:
        yield running


@pytest.fixture
def hub(server, tmp_path) -> Hub:
    return Hub(endpoint=server.endpoint, cache=tmp_path / "hub")


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_text_scribble_and_styles_through_the_protocol(engine, settings, hub, model):
    size = SIZES[model]
    unet = tiny_models.small_unet(48, True) if model == "sdxl" else tiny_models.small_unet(32)
    tiny_models.write_lora(settings.styles / model / "brush.safetensors", unet, 2, seed=12, scale=1.0)
    engine.rescan()
    online = Engine(settings, hardware=REFERENCE, hub=hub)
    words = GenerationRequest("a cat", model=model, recipe="unified", width=size, height=size)
    drawn, styled = replace(words, control=ControlInput(sketch(size))), replace(words, styles=(StyleWeight("brush"),))
    images = set()
    for request in (words, drawn, styled, replace(drawn, styles=styled.styles)):
        made, wanted = (np.asarray(which.generate(request).images[0]) for which in (online, engine))
        assert np.array_equal(made, wanted)
        images.add(made.tobytes())
    assert len(images) == 4, "sketch and style both do something"
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


FILE_FAULTS = [
    ("missing-repo", "does not exist"),
    ("missing-file", "does not hold the file"),
    ("missing-revision", "has no revision"),
    ("unauthorized", "HF_TOKEN"),
    ("gated", "accepted licence"),
    ("broken", "500"),
    ("cut", "broke off"),
    ("wrong-hash", "damaged"),
    ("truncated", "damaged"),
]


@pytest.mark.parametrize(("fault", "words"), FILE_FAULTS)
def test_each_failure_is_named_and_a_retry_works(server, hub, repositories, fault, words):
    server.fail(LORA.filename, fault)
    with pytest.raises(ModelUnavailable, match=words):
        hub.file(LORA)
    server.heal()
    assert hub.file(LORA).read_bytes() == (repositories / LORA.repo / LORA.filename).read_bytes()


LARGE = WeightSource(repo="somebody/large", filename="large.safetensors")
LARGE_NUMBERS = 6_000_000  # float32: more than the client takes at a time, so that a cut finds some of it on disk


@pytest.fixture(scope="module")
def large(repositories) -> Path:
    path = repositories / LARGE.repo / LARGE.filename
    path.parent.mkdir(parents=True)
    save_file({"x": torch.frombuffer(bytearray(random.Random(1).randbytes(4 * LARGE_NUMBERS)), dtype=torch.float32)}, path)
    return path


def test_a_cut_download_continues_where_it_stopped(server, hub, large):
    server.fail(LARGE.filename, "cut", times=1)
    assert hub.file(LARGE).read_bytes() == large.read_bytes()
    starts = ranges_of(server)
    assert starts[0] == 0
    assert starts[1] > 10_000_000


def test_so_it_does_after_the_call_that_began_it_failed(server, hub, large, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    server.fail(LARGE.filename, "cut", times=1)
    with pytest.raises(ModelUnavailable, match="continues where it stopped"):
        hub.file(LARGE)
    (part,) = (tmp_path / "hub").rglob("*.part")
    arrived = part.stat().st_size
    assert arrived > 10_000_000
    another = Hub(endpoint=server.endpoint, cache=tmp_path / "hub")  # as after a restart of the program
    assert another.file(LARGE).read_bytes() == large.read_bytes()
    assert ranges_of(server) == [0, arrived]
    assert not part.exists()


def test_a_part_of_another_file_is_noticed(server, hub, large, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    server.fail(LARGE.filename, "cut", times=1)
    with pytest.raises(ModelUnavailable):
        hub.file(LARGE)
    (part,) = (tmp_path / "hub").rglob("*.part")
    part.write_bytes(bytes(part.stat().st_size))
    with pytest.raises(ModelUnavailable, match="damaged"):
        hub.file(LARGE)
    assert hub.file(LARGE).read_bytes() == large.read_bytes()


def ranges_of(server: HubServer) -> list[int]:
    """Where each download of the large file began."""
    return [int(text.removeprefix("bytes=").rstrip("-") or 0) for path, text in server.ranges if path.endswith(LARGE.filename)]


@pytest.mark.parametrize("damage", ["short", "header", "empty"])
def test_what_is_damaged_on_disk_is_fetched_anew(server, hub, repositories, damage, tmp_path):
    sound = (repositories / LORA.repo / LORA.filename).read_bytes()
    blob = hub.file(LORA).resolve()
    blob.write_bytes({"short": sound[:-10], "header": b"\xff" * 30 + sound[30:], "empty": b""}[damage])
    with pytest.raises(ModelUnavailable, match="damaged on this machine"):
        Hub(offline=True, cache=tmp_path / "hub").file(LORA)
    assert hub.file(LORA).read_bytes() == sound


def test_a_damaged_configuration_heals_too(server, hub, repositories):
    source = WeightSource(repo=SD15)
    config = hub.folder(source, ["unet", "vae"]) / "vae" / "config.json"
    config.resolve().write_text('{"half', encoding="utf-8")
    hub.folder(source, ["unet", "vae"])
    assert config.read_text(encoding="utf-8") == (repositories / SD15 / "vae" / "config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing-repo", "does not exist"),
        ("missing-revision", "has no revision"),
        ("unauthorized", "HF_TOKEN"),
        ("gated", "accepted licence"),
        ("broken", "500"),
        ("cut", "cannot be reached"),
        ("garbled", "cannot be read"),
    ],
)
def test_each_failure_of_a_listing_is_named_by_the_engine_and_a_retry_works(settings, server, hub, fault, words):
    online = Engine(settings, hardware=REFERENCE, hub=hub)
    wanted = GenerationRequest("a cat", model="sd15", recipe="unified", width=256, height=256)
    server.fail(f"/api/models/{SD15}", fault)
    with pytest.raises(ModelUnavailable, match=words):
        online.generate(wanted)
    server.heal()
    assert online.generate(wanted).images
    online.close()


def test_failures_of_a_file_reach_the_engines_caller_and_a_retry_works(settings, server, hub):
    online = Engine(settings, hardware=REFERENCE, hub=hub)
    wanted = GenerationRequest("a cat", model="sd15", recipe="unified", width=256, height=256)
    for fault, words in FILE_FAULTS:
        server.fail(LORA.filename, fault)
        with pytest.raises(ModelUnavailable, match=words):
            online.generate(wanted)
        assert online.generate(replace(wanted, recipe="teacher", num_inference_steps=8)).images, "what is there still draws"
        server.heal()
    assert online.generate(wanted).images
    online.close()


FETCH = """
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.weights.hub import Hub
from hypersd_app.errors import ModelUnavailable
try:
    print(Hub().folder(WeightSource(repo={repo!r}), ["unet"]))
except ModelUnavailable as error:
    print("refused:", error)
"""


def told(**environment: str) -> str:
    """What a process says that fetches a UNet with these variables set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    code = FETCH.format(repo=SD15)
    run = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )  # fmt: skip
    return run.stdout.strip()


def test_the_hubs_own_variables_are_heard(repositories, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    home = str(tmp_path / "home")
    with HubServer(repositories, token="hf_right").running() as server:
        there = {"HF_ENDPOINT": server.endpoint, "HF_HOME": home}
        assert "HF_TOKEN" in told(**there, HF_TOKEN="hf_wrong")
        found = Path(told(**there, HF_TOKEN="hf_right"))
        assert found.is_relative_to(home)
        assert list((found / "unet").glob("*.safetensors"))
        count = len(server.requests)
        assert told(**there, HF_HUB_OFFLINE="1") == str(found), "no token is needed for what is here"
        assert len(server.requests) == count
    nothing = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "other"), "HF_HUB_OFFLINE": "1"}
    assert "cannot be reached" in told(**nothing)


OTHER_COMMIT = "f" * 40


def test_a_pinned_revision_is_what_is_fetched_and_a_wrong_one_is_named(settings, server, tmp_path):
    server.revisions.add(OTHER_COMMIT)
    wanted = GenerationRequest("a cat", model="sd15", recipe="unified", width=256, height=256)
    right = replace(settings, revisions=f"{SD15}={OTHER_COMMIT}")
    engine = Engine(right, hardware=REFERENCE, hub=Hub(endpoint=server.endpoint, cache=tmp_path / "hub"))
    assert engine.generate(wanted).images
    paths = [path for _, path in server.requests if SD15 in path]
    assert all(OTHER_COMMIT in path for path in paths)
    assert any(f"{HYPER}/resolve/main" in path for _, path in server.requests), "others stay at their branch"
    engine.close()
    wrong = replace(settings, revisions=f"{SD15}=v9")
    engine = Engine(wrong, hardware=REFERENCE, hub=Hub(endpoint=server.endpoint, cache=tmp_path / "hub"))
    with pytest.raises(ModelUnavailable, match="no revision 'v9'"):
        engine.generate(wanted)
    engine.close()
    assert COMMIT != OTHER_COMMIT


def test_two_repositories_are_fetched_at_once_and_one_is_not(hub):
    assert hub._locks["a/b"] is hub._locks["a/b"]
    assert hub._locks["a/b"] is not hub._locks["a/c"]


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


def test_sharded_weights_come_with_their_own_index():
    shards = [f"text_encoder_3/model{half}-0000{i}-of-00002.safetensors" for half in ("", ".fp16") for i in (1, 2)]
    indices = ["text_encoder_3/model.safetensors.index.json", "text_encoder_3/model.safetensors.index.fp16.json"]
    names = ["text_encoder_3/config.json", *indices, *shards]
    assert component_files(names, "text_encoder_3") == ["text_encoder_3/config.json", indices[1], *shards[2:]]
    full = [name for name in names if "fp16" not in name]
    assert component_files(full, "text_encoder_3") == full
