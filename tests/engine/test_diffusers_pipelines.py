"""SD3 and FLUX, small and random, under their true names through the Hub's protocol: what diffusers' own pipeline draws."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers

from hypersd_app.engine.engine import Engine
from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest
from hypersd_app.requests import ControlInput, GenerationRequest, StepReached, StyleWeight
from hypersd_app.weights.hub import Hub
from tests.engine.conftest import HYPER, REFERENCE
from tests.support import transformer_models
from tests.support.drawings import sketch
from tests.support.hub_server import HubServer

SD3, FLUX = "stabilityai/stable-diffusion-3-medium-diffusers", "black-forest-labs/FLUX.1-dev"
PIPELINES = {"sd3": (SD3, diffusers.StableDiffusion3Pipeline), "flux": (FLUX, diffusers.FluxPipeline)}
FILES = {"sd3": "Hyper-SD3-4steps-CFG-lora.safetensors", "flux": "Hyper-FLUX.1-dev-8steps-lora.safetensors"}
SIDE = 256
SD3_ENCODERS = {
    "text_encoder": transformers.CLIPTextModelWithProjection, "text_encoder_2": transformers.CLIPTextModelWithProjection,
    "text_encoder_3": transformers.T5EncoderModel,
}  # fmt: skip


@pytest.fixture(scope="module")
def transformers_hub(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("transformers")
    transformer_models.write_sd3(root / SD3)
    transformer_models.write_flux(root / FLUX)
    for name, (repo, kind) in PIPELINES.items():
        transformer_models.write_transformer_lora(root / HYPER / FILES[name], kind.from_pretrained(root / repo).transformer)
    return root


@pytest.fixture
def online(transformers_hub, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubServer(transformers_hub).running() as server:
        hub = Hub(endpoint=server.endpoint, cache=tmp_path / "hub")
        engine = Engine(replace(settings, memory_gb=4.0), hardware=REFERENCE, hub=hub)
        yield engine
        engine.close()


def request(model: str, **changes) -> GenerationRequest:
    steps = {"sd3": 4, "flux": 8}[model]
    return GenerationRequest("a red cat", model=model, num_inference_steps=steps, seed=3, width=SIDE, height=SIDE, **changes)


def reference(root: Path, model: str, wanted: GenerationRequest, lora_scale: float) -> np.ndarray:
    repo, kind = PIPELINES[model]
    pipeline = kind.from_pretrained(root / repo)
    if lora_scale:
        pipeline.load_lora_weights(str(root / HYPER), weight_name=FILES[model])
        pipeline.fuse_lora(lora_scale=lora_scale)
    arguments = {"negative_prompt": wanted.negative_prompt} if wanted.negative_prompt else {}
    return np.asarray(
        pipeline(
            wanted.prompt, width=SIDE, height=SIDE, num_inference_steps=wanted.num_inference_steps,
            guidance_scale={"sd3": 3.0, "flux": 3.5}[model], generator=torch.Generator().manual_seed(wanted.seed), **arguments,
        ).images[0]
    ).astype(int)  # fmt: skip


@pytest.mark.parametrize("model", PIPELINES)
def test_the_published_recipe_equals_diffusers(online, transformers_hub, model):
    wanted = request(model, negative_prompt="blurry" if model == "sd3" else "")
    steps = []
    result = online.generate(wanted, lambda share, text, *_: steps.append(text))
    made = np.asarray(result.images[0]).astype(int)
    expected = reference(transformers_hub, model, wanted, 0.125)
    assert np.abs(made - expected).max() <= 2
    assert expected.std() > 3
    assert np.abs(expected - reference(transformers_hub, model, wanted, 0.0)).max() > 2, "the LoRA does something"
    assert steps[-1] == StepReached(wanted.num_inference_steps, wanted.num_inference_steps)
    assert result.backend.startswith("torch")


@pytest.fixture
def mixed_hub(transformers_hub, tmp_path) -> Path:
    """SD3 as it is on the Hub: text encoders in full and in half, the large one in shards, all else in full."""
    root = Path(shutil.copytree(transformers_hub, tmp_path / "mixed"))
    for number, (name, kind) in enumerate(SD3_ENCODERS.items()):
        encoder = kind.from_pretrained(root / SD3 / name)
        size = "4KB" if name == "text_encoder_3" else "1GB"
        encoder.save_pretrained(root / SD3 / name, max_shard_size=size)
        encoder.half().save_pretrained(root / SD3 / name, variant="fp16", max_shard_size=size)
        assert len(list((root / SD3 / name).glob("*.fp16*.safetensors"))) > (number == 2)
    (root / SD3 / "text_encoder_3" / "model.safetensors").unlink(missing_ok=True)
    return root


def test_half_and_full_components_go_together(transformers_hub, mixed_hub, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wanted = request("sd3")
    with HubServer(mixed_hub).running() as server:
        engine = Engine(settings, hardware=REFERENCE, hub=Hub(endpoint=server.endpoint, cache=tmp_path / "hub"))
        made = np.asarray(engine.generate(wanted).images[0]).astype(int)
        engine.close()
        fetched = [path for method, path in server.requests if method == "GET" and path.endswith(".safetensors")]
    assert all(".fp16" in path for path in fetched if "/text_encoder" in path), "one set of each"
    assert sum("text_encoder_3" in path for path in fetched) > 1, "the large encoder in shards"
    assert np.abs(made - reference(transformers_hub, "sd3", wanted, 0.125)).max() <= 8, "up to the rounding of half precision"


@pytest.mark.parametrize("model", PIPELINES)
def test_what_they_cannot_do_here_is_refused(online, settings, model):
    for changes, words in (
        ({"control": ControlInput(sketch(SIDE))}, "control"),
        ({"styles": (StyleWeight("ink"),)}, "style"),
        ({"width": 1000}, "width"),
        ({"guidance_scale": 20.0}, "guidance_scale"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            online.generate(replace(request(model), **changes))
    if model == "flux":
        with pytest.raises(InvalidRequest, match="negative_prompt"):
            online.generate(request(model, negative_prompt="blurry"))


def test_one_that_is_too_large_is_refused_before_it_is_read(transformers_hub, settings):
    from tests.support.tiny_models import FolderHub

    engine = Engine(replace(settings, memory_gb=1e-5), hardware=REFERENCE, hub=FolderHub(transformers_hub))
    with pytest.raises(DeviceOutOfMemory, match="pipeline of stabilityai"):
        engine.generate(request("sd3"))
    assert engine.status()["loads"] == 1
    engine.close()
