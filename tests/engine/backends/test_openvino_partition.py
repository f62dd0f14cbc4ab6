"""What words and timestep alone decide is computed once, and everything comes out as if it were computed each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

import openvino as ov
from openvino import opset13

from hypersd_app.engine.backends.openvino import network as openvino_network
from hypersd_app.engine.backends.openvino import partition
from hypersd_app.engine.backends.openvino.partition import SteadyPart, cut
from hypersd_app.requests import ControlInput, StyleWeight
from tests.engine.backends.test_openvino import SINGLE, opened, plan_of, request
from tests.support.drawings import sketch


def small_model() -> ov.Model:
    """(image, words, time) to image * exp(words) + time."""
    image, words, time = (opset13.parameter([2, 3], np.float32) for _ in range(3))
    shape = opset13.shape_of(words)  # known from the start: nothing to compute once a prompt
    projected = opset13.reshape(opset13.exp(words), shape, False)
    out = opset13.add(opset13.multiply(image, projected), time)
    return ov.Model([opset13.result(out)], [image, words, time])


def run(model: ov.Model, *inputs: np.ndarray) -> np.ndarray:
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(list(inputs))
    return np.array(found[0])


def test_a_graph_is_cut_where_the_steady_inputs_end() -> None:
    rng = np.random.default_rng(0)
    image, words, time = (rng.normal(size=(2, 3)).astype(np.float32) for _ in range(3))
    whole = run(small_model(), image, words, time)
    parts = cut(small_model(), [1, 2])
    assert parts is not None
    first, second = parts
    assert [len(first.inputs), len(first.outputs), len(second.inputs)] == [2, 2, 3]
    part = SteadyPart(ov.Core().compile_model(first, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    given = [np.array(tensor.data) for tensor in part("key", [words, time])]
    assert np.array_equal(run(second, image, *given), whole)
    assert not any(node.get_type_name() == "Exp" for node in second.get_ops()), "it is not computed again"
    assert cut(small_model(), []) is None


def test_results_are_kept_by_key_and_only_so_many() -> None:
    first, _ = cut(small_model(), [1, 2]) or pytest.fail()
    part = SteadyPart(ov.Core().compile_model(first, "CPU"))
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    once = part("a", [zeros, zeros])
    assert part("a", [ones, ones]) is once, "the same key, the same inputs"
    assert not np.array_equal(part("b", [ones, ones])[0].data, once[0].data)
    for key in range(partition.KEPT):
        part(key, [zeros, zeros])
    assert len(part._known) == partition.KEPT
    assert part("a", [zeros, zeros]) is not once


@pytest.mark.slow
def test_a_prompt_is_read_once_and_other_words_steps_and_styles_anew(engine, settings, repositories, tmp_path: Path) -> None:
    other = opened(settings, repositories, tmp_path, SINGLE)
    drawing = ControlInput(sketch(256), scale=0.8)

    def known() -> list[int]:
        with other._models.open(plan_of(other, request(control=drawing))) as pipeline:
            networks = [*pipeline.denoiser._networks.values(), pipeline.control._network]
        return [len(compiled.first._known) for network in networks for compiled in network._requests.values() if compiled.first]

    other.generate(request(control=drawing))
    assert known() == [1, 1], "both the UNet and the ControlNet are cut"
    other.generate(request(control=ControlInput(sketch(256) // 2, scale=0.3), seed=9))
    assert known() == [1, 1], "no stroke, scale or seed is part of it"
    changes = [{"prompt": "a blue dog"}, {"num_inference_steps": 2}, {"styles": (StyleWeight("ink", 0.7),)}]
    images = []
    for change in changes:
        made = other.generate(request(control=drawing, **change)).images[0]
        expected = engine.generate(request(control=drawing, **change)).images[0]
        assert np.abs(np.asarray(made, int) - np.asarray(expected, int)).max() <= 3
        images.append(np.asarray(made).tobytes())
    assert len(set(images)) == len(changes)
    assert max(known()) >= 4
    kept = known()
    many = request(control=drawing, num_images=3, prompt="two words")
    made, expected = other.generate(many).images, engine.generate(many).images
    assert sum(known()) - sum(kept) == 2, "once by UNet and ControlNet, whichever the image"
    assert max(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() for a, b in zip(made, expected, strict=True)) <= 3
    other.close()


@pytest.mark.slow
def test_guided_images_come_out_as_in_torch(engine, settings, repositories, tmp_path: Path) -> None:
    other = opened(settings, repositories, tmp_path, SINGLE)
    wanted = request(recipe="teacher", num_inference_steps=8, negative_prompt="a dog", control=ControlInput(sketch(256)))
    for _ in range(2):
        made, expected = other.generate(wanted).images[0], engine.generate(wanted).images[0]
        assert np.abs(np.asarray(made, int) - np.asarray(expected, int)).max() <= 6
    with other._models.open(plan_of(other, wanted)) as pipeline:
        (network,) = pipeline.denoiser._networks.values()
        assert pipeline.denoiser.grown > 0 and network.kept > 0, "counted in the memory budget"
    assert [len(compiled.first._known) for compiled in network._requests.values()] == [16], "eight steps, with and without words"
    other.close()


@pytest.mark.slow
def test_it_draws_the_same_in_one_piece(settings, repositories, tmp_path: Path, monkeypatch) -> None:
    wanted = request(control=ControlInput(sketch(256)), styles=(StyleWeight("clay", 0.5),))
    halves = opened(settings, repositories, tmp_path, SINGLE)
    made = np.asarray(halves.generate(wanted).images[0], int)
    halves.close()
    monkeypatch.setattr(openvino_network, "cut", lambda model, steady: None)
    whole = opened(settings, repositories, tmp_path, SINGLE)
    assert np.abs(np.asarray(whole.generate(wanted).images[0], int) - made).max() <= 1
    whole.close()
