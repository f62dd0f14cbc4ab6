"""Detectors load one by one, from the files they need and no others, as tensors and never as code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageDraw

from hypersd_app.engine.annotators import ANNOTATORS, DEPTH, EDGES, Annotators, detector_class
from hypersd_app.engine.memory.model_cache import ModelCache
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.weights.hub import Hub
from tests.support import tiny_models
from tests.support.hub_server import HubServer

SIZE = (96, 64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights of the true shapes under the true names; depth is a small one."""
    root = tmp_path_factory.mktemp("annotators")
    folder = root / EDGES.repo
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    torch.save(detector_class("hed", "ControlNetHED_Apache2")().state_dict(), folder / "ControlNetHED.pth")
    pidi = {f"module.{name}": value for name, value in detector_class("pidi", "pidinet")().state_dict().items()}
    torch.save({"state_dict": pidi}, folder / "table5_pidinet.pth")
    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(detector_class("lineart", "Generator")(3, 1, 3).state_dict(), folder / name)
    (folder / "sam_vit_h.pth").write_bytes(b"large, and nobody's business")
    write_depth(root / DEPTH.repo)
    return root


def write_depth(folder: Path) -> None:
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, patch_size=14,
        head_hidden_size=8,
    )  # fmt: skip
    network = transformers.DepthAnythingForDepthEstimation(config)
    with torch.no_grad():
        for parameter in network.parameters():  # strong enough that depth is not the same everywhere
            if parameter.ndim > 1:
                parameter.normal_(0, 2 / parameter[0].numel() ** 0.5)
        network.head.conv3.bias.fill_(5.0)  # depth below zero is cut off
    network.save_pretrained(folder)
    processor = transformers.DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14, keep_aspect_ratio=True)
    processor.save_pretrained(folder)


def photograph() -> Image.Image:
    image = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(image).ellipse((30, 20, 90, 60), fill="black")
    return image


def annotators(hub: Hub) -> Annotators:
    return Annotators(hub, ModelCache(10**9))


@pytest.fixture
def server(weights, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubServer(weights).running() as running:
        yield running


@pytest.mark.parametrize("kind", ANNOTATORS)
def test_every_kind_comes_through_the_protocol(server, tmp_path, kind):
    made = annotators(Hub(endpoint=server.endpoint, cache=tmp_path / "hub")).annotate(kind, photograph(), SIZE)
    assert (made.shape, made.dtype) == ((64, 96, 3), np.uint8)
    assert kind == "scribble" or made.std() > 0, "the image leaves a trace"
    asked = {path.rpartition("/")[2] for method, path in server.requests if method == "GET" and "resolve" in path}
    assert asked == set(ANNOTATORS[kind].files), "these and no others"


def test_a_detector_is_loaded_once_for_both_its_kinds_and_counted(weights):
    hub, residency = tiny_models.FolderHub(weights), ModelCache(10**9)
    both = Annotators(hub, residency)
    for kind in ("softedge", "scribble", "softedge"):
        both.annotate(kind, photograph(), SIZE)
    counts = residency.statistics()
    assert (counts.loads, counts.hits) == (1, 2)
    assert counts.bytes > 50e6


def test_only_the_module_asked_for_is_imported():
    code = (
        "import sys; from hypersd_app.engine.annotators import detector_class; detector_class('canny', 'CannyDetector');"
        "print(sorted(name for name in sys.modules if name.startswith('controlnet_aux')))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error::UserWarning"}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8", env=environment)
    assert found.stdout.strip() == "['controlnet_aux.canny', 'controlnet_aux.util']"
    import controlnet_aux  # the whole package is still there for whoever wants it

    assert hasattr(controlnet_aux, "CannyDetector")


def test_unknown_kinds_and_missing_weights_are_named(tmp_path):
    nowhere = annotators(Hub(offline=True, cache=tmp_path))
    with pytest.raises(InvalidRequest, match="canny"):
        nowhere.annotate("telepathy", photograph(), SIZE)
    for kind in ("softedge", "depth"):
        with pytest.raises(ModelUnavailable, match=r"(Annotators/ControlNetHED.pth|Depth-Anything.*) is not on this machine"):
            nowhere.annotate(kind, photograph(), SIZE)
    assert nowhere.annotate("canny", photograph(), SIZE).any(), "needs no weights"


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_code_in_a_weights_file_is_refused(tmp_path, capsys):
    folder = tmp_path / EDGES.repo
    folder.mkdir(parents=True)
    torch.save({"state_dict": Evil()}, folder / "ControlNetHED.pth")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        annotators(tiny_models.FolderHub(tmp_path)).annotate("softedge", photograph(), SIZE)
    assert "code ran" not in capsys.readouterr().out
