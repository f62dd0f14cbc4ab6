"""Layouts with a code, and the autoencoder with alpha: each seed has its own layout, alone or in a batch, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.models.layout import CODED, LayoutPrior
from hypersd_app.requests import ControlInput, GenerationRequest
from hypersd_app.settings import Settings
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models
from tests.support.drawings import sketch

OPENVINO = Hardware("openvino", "cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def settings(module_folder) -> Settings:
    tiny_models.write_pocket(module_folder / "assets" / "pocket", layout=CODED, stickers=True)
    return Settings(
        assets=module_folder / "assets", cache=module_folder / "cache", models=module_folder / "models",
        styles=module_folder / "styles", offline=True, memory_gb=4.0,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[REFERENCE, OPENVINO], ids=["torch", "openvino"])
def engine(request, settings):
    made = Engine(settings, hardware=request.param, hub=tiny_models.FolderHub(settings.models))
    yield made
    made.close()


@pytest.fixture
def seen(monkeypatch) -> list[torch.Tensor]:
    """The layouts that the prior has been asked for."""
    found: list[torch.Tensor] = []
    forward = LayoutPrior.forward

    def noticed(prior, text):
        found.append(forward(prior, text))
        return found[-1]

    monkeypatch.setattr(LayoutPrior, "forward", noticed)
    return found


def drawn(engine, **values) -> list[np.ndarray]:
    request = GenerationRequest(**{"prompt": "red apple", "recipe": "unified", "seed": 3, **values})
    return [np.asarray(image).astype(int) for image in engine.generate(request).images]


def test_each_image_of_a_request_is_what_its_seed_alone_gives(engine, seen) -> None:
    together = drawn(engine, prompt="a blue car", num_images=3)
    assert len(seen) == 3 and len({layout.sum().item() for layout in seen}) == 3
    for offset, image in enumerate(together):
        (alone,) = drawn(engine, prompt="a blue car", seed=3 + offset)
        assert np.abs(alone - image).max() <= 2
    asked = len(seen)
    drawn(engine, prompt="a blue car", seed=5)
    assert len(seen) == asked, "words, styles and seed are those of before"


def test_the_unconditional_half_sees_no_layout(engine, seen) -> None:
    drawn(engine, prompt="an owl", recipe="teacher", num_inference_steps=8, guidance_scale=3.0)
    assert sorted(bool(layout.any()) for layout in seen) == [False, True]


def test_a_sketch_is_drawn_over_such_a_layout(engine) -> None:
    plain, other = (drawn(engine, control=ControlInput(sketch(256), scale=scale))[0] for scale in (0.0, 1.0))
    assert np.abs(plain - drawn(engine)[0]).max() <= 2, "at scale 0 it is as if there were none"
    assert np.abs(plain - other).max() > 2


def test_backends_draw_the_same(settings) -> None:
    images = []
    for hardware in (REFERENCE, OPENVINO):
        engine = Engine(settings, hardware=hardware, hub=tiny_models.FolderHub(settings.models))
        images.append(drawn(engine, prompt="two bananas")[0])
        engine.close()
    assert images[0].shape == (256, 256, 3) and np.ptp(images[0]) > 20
    assert np.abs(images[0] - images[1]).max() <= 2
