"""OpenVINO draws what torch draws, up to its precision, and a change of style compiles nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.system import has_native_bfloat16
from tests.support import tiny_models
from tests.support.drawings import SIZES, sketch

openvino = pytest.importorskip("openvino")

SINGLE = Hardware("openvino", "cpu", dtype=torch.float32)
HALF = Hardware("openvino", "cpu", dtype=torch.bfloat16)


def decibels(a, b) -> float:
    """Peak signal-to-noise ratio of two images."""
    error = np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.fixture(scope="module")
def converted(module_folder):
    """One cache of converted networks for this file."""
    return module_folder


def opened(settings, repositories, converted, hardware) -> Engine:
    from dataclasses import replace

    return Engine(replace(settings, cache=converted), hardware=hardware, hub=tiny_models.FolderHub(repositories))


def request(model="pocket", **changes) -> GenerationRequest:
    size = SIZES[model]
    values = {"prompt": "a red cat", "model": model, "recipe": "unified", "seed": 4, "width": size, "height": size, **changes}
    return GenerationRequest(**values)


CASES = {
    "pocket": {}, "pocket-control": {"control": ControlInput(sketch(256), scale=0.8)}, "pocket-five": {"num_images": 5},
    "pocket-styles": {"styles": (StyleWeight("ink", 0.7), StyleWeight("clay", 0.4))}, "sd15": {"num_inference_steps": 2},
    "sd15-odd": {"width": 264, "height": 280},
    "sdxl": {"recipe": "8steps-cfg", "num_inference_steps": 8, "control": ControlInput(sketch(512))},
}  # fmt: skip


SLOW = ("sd15", "sd15-odd", "sdxl", "pocket-five")


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case in SLOW else ()) for case in CASES])
def test_single_precision_equals_torch(engine, settings, repositories, converted, case):
    wanted = request(case.split("-")[0], **CASES[case])
    other = opened(settings, repositories, converted, SINGLE)
    made, expected = other.generate(wanted), engine.generate(wanted)
    worst = min(decibels(a, b) for a, b in zip(made.images, expected.images, strict=True))
    other.close()
    assert worst >= 45


BRUSH = (StyleWeight("brush", 0.8),)
HALF_CASES = {
    **{case: CASES[case] for case in ("pocket", "pocket-control", "pocket-styles", "sd15")},
    "sd15-control-styles": {"control": ControlInput(sketch(256), scale=0.8), "styles": BRUSH},
    "sdxl": {"num_inference_steps": 2}, "sdxl-control-styles": {"control": ControlInput(sketch(512), scale=0.8), "styles": BRUSH},
}  # fmt: skip


@pytest.mark.skipif(not has_native_bfloat16(), reason="the processor has no bfloat16")
@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case[:2] == "sd" else ()) for case in HALF_CASES])
def test_half_precision_stays_close(engine, settings, repositories, converted, case):
    for family, unet in (("sd15", tiny_models.small_unet(32)), ("sdxl", tiny_models.small_unet(48, True))):
        tiny_models.write_lora(settings.styles / family / "brush.safetensors", unet, 2, seed=12, scale=1.0)
    engine.rescan()
    wanted = request(case.split("-")[0], **HALF_CASES[case])
    other = opened(settings, repositories, converted, HALF)
    quality = decibels(other.generate(wanted).images[0], engine.generate(wanted).images[0])
    other.close()
    assert quality >= 30


def test_a_style_change_compiles_nothing(settings, repositories, converted):
    other = opened(settings, repositories, converted, SINGLE)
    rows = [("ink", 0.7), ("clay", 1.0), ("ink", -0.3), ("clay", 0.2)]
    images = [other.generate(request(styles=(StyleWeight(*rows[0]),))).images[0]]
    with other._models.open(plan_of(other, request())) as pipeline:
        denoiser = pipeline.denoiser
    compiled = [network.compilations for network in denoiser._networks.values()]
    images += [other.generate(request(styles=(StyleWeight(*row),))).images[0] for row in rows[1:]]
    assert [network.compilations for network in denoiser._networks.values()] == compiled
    assert len({np.asarray(image).tobytes() for image in images}) == len(rows)
    other.close()


def test_a_first_batch_of_four_does_not_wait_for_its_compilation(engine, settings, repositories, converted):
    other, wanted = opened(settings, repositories, converted, SINGLE), request(num_images=4, control=ControlInput(sketch(256)))
    first = [*other.generate(wanted).images, *other.generate(wanted).images]
    with other._models.open(plan_of(other, wanted)) as pipeline:
        networks = [*pipeline.denoiser._networks.values(), pipeline.control._network]
    for network in networks:
        network.settle()
        assert sorted(shapes[0][0] for shapes in network._requests) == [1, 4], "compiled beside the drawing"
    size = other.status()["bytes"]
    later = other.generate(wanted).images
    expected = engine.generate(wanted).images
    assert min(decibels(a, b) for a, b in zip([*first, *later], [*expected] * 3, strict=True)) >= 45
    assert other.status()["bytes"] == size, "and counted in the memory budget"
    assert pipeline.denoiser.grown > 0
    other.close()


def test_converted_networks_are_found_again(settings, repositories, converted, caplog):
    caplog.set_level("INFO")
    opened(settings, repositories, converted, SINGLE).generate(request())
    caplog.clear()
    opened(settings, repositories, converted, SINGLE).generate(request())
    assert "converting" not in caplog.text


def plan_of(engine, wanted):
    from hypersd_app.engine.plan import make_plan

    return make_plan(engine.catalog, wanted)
