"""A PNG carries everything to make it again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.metadata import file_name, parameters_text, read_request, result_png
from hypersd_app.requests import ControlInput, GenerationRequest, GenerationResult, StyleWeight

REQUEST = GenerationRequest(
    "a red cat, “curly”", "blurry", recipe="8steps-cfg", model="sd15", num_inference_steps=8, guidance_scale=5.0, eta=0.0, seed=41,
    num_images=2, width=512, height=512, styles=(StyleWeight("ink", 0.5),), decoder="tiny",
    control=ControlInput(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), scale=0.7),
)  # fmt: skip


def written(tmp_path, request=REQUEST):
    result = GenerationResult((np.zeros((8, 8, 3), np.uint8),) * 2, request, {}, "torch, cpu, float32")
    path = tmp_path / "x.png"
    path.write_bytes(result_png(result, 1))
    return path


def test_the_request_comes_back_with_the_images_own_seed(tmp_path):
    found = read_request(written(tmp_path))
    assert (found.seed, found.num_images) == (42, 1)
    for name in ("prompt", "negative_prompt", "model", "recipe", "num_inference_steps", "guidance_scale", "styles", "decoder"):
        assert getattr(found, name) == getattr(REQUEST, name)
    assert np.array_equal(found.control.image, REQUEST.control.image)
    assert (found.control.kind, found.control.scale) == ("scribble", 0.7)


def test_other_programs_read_the_parameters():
    text = parameters_text(REQUEST)
    assert text.splitlines()[0] == "a red cat, “curly” <lora:ink:0.5>"
    assert text.splitlines()[1] == "Negative prompt: blurry"
    assert text.splitlines()[2].startswith("Steps: 8, Sampler: DDIM, CFG scale: 5, Seed: 41, Size: 512x512, Model: sd15")


def test_images_of_others_and_damaged_ones_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    for content in (buffer.getvalue(), b"nothing", written(tmp_path).read_bytes().replace(b'"sd15"', b"12345")[:200]):
        path = tmp_path / "y.png"
        path.write_bytes(content)
        with pytest.raises(InvalidRequest):
            read_request(path)


def test_file_names_are_harmless():
    assert file_name(GenerationRequest("../../A cat: «№1»!", seed=3)) == "a-cat-1-3.png"
    assert file_name(GenerationRequest("猫", seed=3)) == "image-3.png"
