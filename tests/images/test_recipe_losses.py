# ruff: noqa: E501 - texts as programs write them
"""What of another program's recipe is not kept is told by its name, and the files that were used are known by their hashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hypersd_app.requests import request_from_json
from hypersd_app.server.http.png_recipes import read_recipe
from tests.support.recipe_files import COMFYUI, FOOOCUS, INVOKEAI, SWARMUI, a1111, with_exif, with_text

SETTINGS = "Steps: 4, Seed: 1, CFG scale: 1"
NOVELAI = {
    "prompt": "a red apple", "uc": "blurry", "steps": 28, "scale": 5.0, "seed": 4242, "width": 832, "height": 1216, "sampler": "k_euler_ancestral",
    "noise_schedule": "karras", "cfg_rescale": 0.2, "sm": False, "request_type": "PromptGenerateRequest",
}  # fmt: skip
GRAPH = {
    **COMFYUI,
    "3": {"class_type": "KSampler", "inputs": {**COMFYUI["3"]["inputs"], "sampler_name": "euler", "scheduler": "karras", "denoise": 0.6}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red apple", "clip": ["11", 0]}},
    "11": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
}  # fmt: skip


def read(data: bytes) -> tuple[dict[str, Any], str]:
    recipe = read_recipe(data)
    request_from_json(recipe["head"])
    return recipe["head"], "; ".join(recipe["changed"])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (with_text(a1111("a cat", f"{SETTINGS}, Sampler: DPM++ 2M, Schedule type: Karras")), ["sampler DPM++ 2M Karras"]),
        (with_text(a1111("a cat", f'{SETTINGS}, Denoising strength: 0.7, ADetailer model: face.pt, ControlNet 0: "Module: canny, Model: x"')),
         ["Denoising strength 0.7", "ADetailer model face.pt", "ControlNet 0 Module: canny"]),
        (with_text(a1111("a cat", f"{SETTINGS}, Variation seed: 5, Refiner: x, RNG: CPU, Tiling: True, FreeU: False, Face restoration: None")),
         ["Variation seed 5", "Refiner x", "RNG CPU", "Tiling True"]),
        (with_text(json.dumps({**FOOOCUS, "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "sharpness": 2.0, "refiner_model": "None"})),
         ["sampler dpmpp_2m_sde_gpu karras", "sharpness 2"]),
        (with_text(json.dumps({"sui_image_params": {**SWARMUI["sui_image_params"], "sampler": "euler", "initimagecreativity": 0.6}})),
         ["sampler euler", "initimagecreativity 0.6"]),
        (with_text(json.dumps({**INVOKEAI, "scheduler": "dpmpp_sde", "controlnets": [{}], "seamless_x": True}), "invokeai_metadata"),
         ["sampler dpmpp_sde", "seamless_x on", "controlnets 1"]),
        (with_text(json.dumps(NOVELAI), "Comment"), ["sampler k_euler_ancestral karras", "cfg_rescale 0.2"]),
        (with_text(json.dumps(GRAPH), "prompt"), ["sampler euler karras", "denoise 0.6", "ControlNetApply"]),
    ],
    ids=["sampler", "image and ControlNet", "others", "Fooocus", "SwarmUI", "InvokeAI", "NovelAI", "ComfyUI"],
)  # fmt: skip
def test_settings_that_are_not_kept_are_told_by_name(data: bytes, told: list[str]) -> None:
    _, changed = read(data)
    assert [name for name in told if name not in changed] == []
    assert (
        "Seed 1" not in changed
        and "FreeU" not in changed
        and "Face restoration" not in changed
        and "refiner" not in changed
        and "sm " not in changed
    )


def test_many_settings_are_a_short_sentence() -> None:
    _, changed = read(with_text(a1111("a cat", SETTINGS + "".join(f", Option {i}: {'x' * 200}" for i in range(40)))))
    assert "32 more" in changed and len(changed) < 500


def test_novelai_is_read_in_png_and_webp() -> None:
    for data in (
        with_text(json.dumps(NOVELAI), "Comment"),
        with_exif(json.dumps({"Software": "NovelAI", "Comment": json.dumps(NOVELAI)}), "WEBP", "utf-8"),
    ):
        head, _ = read(data)
        assert (head["prompt"], head["negative_prompt"], head["seed"], head["width"], head["height"]) == (
            "a red apple",
            "blurry",
            4242,
            832,
            1216,
        )


def test_comfyuis_layer_of_clip_is_read() -> None:
    assert read(with_text(json.dumps(GRAPH), "prompt"))[0]["clip_skip"] == 2


CIVITAI = (
    'a red apple\nSteps: 4, Sampler: LCM, CFG scale: 1, Seed: 5, Civitai resources: [{"type":"checkpoint","modelVersionId":1,'
    '"modelName":"DreamShaper","modelVersionName":"8"},{"type":"lora","weight":0.7,"modelVersionId":2,"modelName":"ink"}], Civitai metadata: {}, Size: 512x512'
)


def test_what_civitai_lists_beside_the_prompt_is_read() -> None:
    head, _ = read(with_text(CIVITAI))
    assert (head["model"], head["styles"], head["width"]) == ("DreamShaper", [{"name": "ink", "weight": 0.7}], 512)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("Model hash: 6CE0161689", {"model": "6ce0161689"}),
        ('Lora hashes: "ink: 0123abcd4567, my clay: 89ab0123cdef"', {"styles": {"ink": "0123abcd4567", "my clay": "89ab0123cdef"}}),
        ('Hashes: {"vae": "735e4c3a44", "model": "6ce0161689", "lora:ink": "0123abcd45"}', {"model": "6ce0161689", "styles": {"ink": "0123abcd45"}}),
        ("Hashes: {broken, Model hash: x/y", None),
        ('Hashes: {"model": 5}, Lora hashes: "ink: no hash"', None),
    ],
)  # fmt: skip
def test_hashes_are_kept_for_finding_the_files(settings: str, expected: object) -> None:
    head, _ = read(with_text(a1111("a cat", f"{SETTINGS}, {settings}")))
    assert head.get("hashes") == expected


def test_hashes_of_fooocus_and_swarmui() -> None:
    fooocus = {**FOOOCUS, "base_model_hash": "6ce0161689", "loras": [["ink.safetensors", 0.5, "0123abcd45"]]}
    swarm = {
        **SWARMUI,
        "sui_models": [
            {"name": "someMix_v3.safetensors", "param": "model", "hash": "0x6ce0161689"},
            {"name": "ink", "hash": "0x0123abcd45"},
        ],
    }
    for values in (fooocus, swarm):
        found = read(with_text(json.dumps(values)))[0]["hashes"]
        assert found["model"] == "6ce0161689" and found["styles"]["ink"] == "0123abcd45"
