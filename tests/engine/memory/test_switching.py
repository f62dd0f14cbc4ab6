"""Two hundred style switches and fifty model switches: memory stays where it was, and so does every image."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.settings import ROOT, Settings
from hypersd_app.system import resident_bytes
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models
from tests.support.drawings import sketch

STYLE_SWITCHES, MODEL_SWITCHES = 200, 50
OPENVINO_STYLE_SWITCHES, OPENVINO_MODEL_SWITCHES = 60, 16
ROUNDS_BEFORE = 2  # after which memory is compared: caches fill, and the allocator finds its size
TOLERANCE = 0.05

CAT = GenerationRequest("a cat", recipe="unified", seed=7)
STYLES = [
    replace(CAT, styles=styles)
    for styles in (
        (),
        (StyleWeight("ink", 0.8),),
        (StyleWeight("clay", 1.0),),
        (StyleWeight("ink", 0.3), StyleWeight("clay", -0.5)),
    )
]
MODELS = [
    replace(CAT, control=ControlInput(sketch(256))),
    GenerationRequest("a cat", model="sd15", recipe="unified", seed=7, width=256, height=256),
    replace(CAT, recipe="teacher", num_inference_steps=8, styles=(StyleWeight("clay"),)),
    GenerationRequest("a cat", model="sdxl", recipe="unified", seed=7, width=512, height=512),
]


def pixels(engine: Engine, request: GenerationRequest) -> np.ndarray:
    return np.asarray(engine.generate(request).images[0])


def draw_freshly() -> None:
    """What the fresh process runs: each request on an engine of its own, from standard input to standard output."""
    settings, repositories, requests, hardware = pickle.load(sys.stdin.buffer)
    images = []
    for request in requests:
        engine = Engine(settings, hardware=hardware, hub=tiny_models.FolderHub(repositories))
        images.append(pixels(engine, request))
    sys.stdout.buffer.write(pickle.dumps(images))


def fresh_images(
    settings: Settings, repositories: Path, requests: Sequence[GenerationRequest], hardware: Hardware = REFERENCE
) -> list[np.ndarray]:
    """The images of a process that has drawn nothing before."""
    code = "from tests.engine.memory.test_switching import draw_freshly; draw_freshly()"
    given = pickle.dumps((settings, repositories, list(requests), hardware))
    process = subprocess.run([sys.executable, "-c", code], input=given, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return pickle.loads(process.stdout)


def switch(engine: Engine, requests: Sequence[GenerationRequest], expected: Sequence[np.ndarray], switches: int) -> list[int]:
    """Draw the requests in turn; bytes of this process after each round."""
    memory = []
    for i in range(switches):
        which = i % len(requests)
        assert np.array_equal(pixels(engine, requests[which]), expected[which]), f"switch {i}"
        if which == len(requests) - 1:
            memory.append(resident_bytes())
    return memory


def spread(memory: Sequence[int]) -> float:
    """How far memory went from where it was after the first rounds, as a share of it."""
    start, *later = memory[ROUNDS_BEFORE:]
    return max(abs(value - start) for value in later) / start


@pytest.mark.slow
def test_switching_styles_and_models_leaves_nothing_behind(settings, repositories):
    fresh = fresh_images(settings, repositories, [*STYLES, *MODELS])
    assert len({image.tobytes() for image in fresh}) == len(fresh), "each request draws something of its own"
    engine = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    assert spread(switch(engine, STYLES, fresh, STYLE_SWITCHES)) <= TOLERANCE
    engine.close()
    engine.generate(MODELS[0])
    budget = engine.status()["bytes"] * 1.05 / 1e9  # enough for one model at a time
    engine.close()
    short = Engine(replace(settings, memory_gb=budget), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    assert spread(switch(short, MODELS, fresh[len(STYLES) :], MODEL_SWITCHES)) <= TOLERANCE
    assert short.status()["evictions"] >= MODEL_SWITCHES / 4, "models really came and went"
    assert short.status()["bytes"] <= short.status()["budget"]
    short.close()


@pytest.mark.slow
def test_so_it_is_with_compiled_networks(settings, repositories):
    """On OpenVINO, with fewer switches: each of a model reads its converted networks anew."""
    pytest.importorskip("openvino")
    hardware = Hardware("openvino", "cpu", dtype=torch.float32)
    fresh = fresh_images(settings, repositories, [*STYLES, *MODELS], hardware)
    assert len({image.tobytes() for image in fresh}) == len(fresh)
    engine = Engine(settings, hardware=hardware, hub=tiny_models.FolderHub(repositories))
    assert spread(switch(engine, STYLES, fresh, OPENVINO_STYLE_SWITCHES)) <= TOLERANCE
    engine.close()
    engine.generate(MODELS[0])
    # Enough for one model at a time and for the conversion beside it, without which torch would draw.
    budget = engine.status()["bytes"] * 1.6 / 1e9
    engine.close()
    short = Engine(replace(settings, memory_gb=budget), hardware=hardware, hub=tiny_models.FolderHub(repositories))
    assert all(short.generate(request).backend.startswith("openvino") for request in MODELS)
    assert spread(switch(short, MODELS, fresh[len(STYLES) :], OPENVINO_MODEL_SWITCHES)) <= TOLERANCE
    assert short.status()["evictions"] >= OPENVINO_MODEL_SWITCHES / 4
    assert short.status()["bytes"] <= short.status()["budget"]
    short.close()
