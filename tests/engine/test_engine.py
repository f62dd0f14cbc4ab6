"""The facade: reproducible images, micro-batches, styles without growth, running out of memory and back."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from hypersd_app.catalog.own_styles import new_name, own_folder, own_path
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.sampling import generate as rendering
from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest, ModelUnavailable
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models
from tests.support.drawings import SIZES, sketch

CAT = GenerationRequest("a cat", recipe="unified", seed=7)
BLANK = np.zeros((256, 256, 3), np.uint8)


def pixels(result, index=0):
    return np.asarray(result.images[index]).astype(np.int16)


def test_each_image_of_a_batch_can_be_made_alone(engine):
    batch = engine.generate(replace(CAT, num_images=4, num_inference_steps=3, eta=0.8))
    for i in range(4):
        alone = engine.generate(replace(CAT, seed=7 + i, num_inference_steps=3, eta=0.8))
        assert np.abs(pixels(batch, i) - pixels(alone)).max() <= 2


def test_the_result_holds_the_request_as_it_ran(engine):
    result = engine.generate(GenerationRequest("a cat"))
    request = result.request
    assert (request.recipe, request.guidance_scale, request.eta, request.width, request.decoder) == (
        "unified",
        0.0,
        1.0,
        256,
        "full",
    )
    assert set(result.milliseconds) >= {"text", "unet", "decode", "total"}
    assert np.array_equal(pixels(engine.generate(request)), pixels(result))


def test_a_micro_batch_equals_its_requests_alone(engine):
    requests = [
        replace(CAT, control=ControlInput(sketch(256), scale=0.5)),
        replace(CAT, prompt="a dog", seed=9, control=ControlInput(BLANK)),
        replace(CAT, seed=11),
        replace(CAT, seed=13, control=ControlInput(sketch(256)[::-1], scale=1.2), num_images=2),
    ]
    together = engine.generate_batch(requests)
    for request, result in zip(requests, together, strict=True):
        alone = engine.generate(request)
        assert len(result.images) == request.num_images
        assert all(np.abs(pixels(result, i) - pixels(alone, i)).max() <= 2 for i in range(request.num_images))


def test_a_blank_sketch_is_no_control_and_a_drawn_one_is(engine):
    plain = pixels(engine.generate(CAT))
    assert np.array_equal(plain, pixels(engine.generate(replace(CAT, control=ControlInput(BLANK)))))
    assert np.abs(plain - pixels(engine.generate(replace(CAT, control=ControlInput(sketch(256)))))).max() > 2


def test_prompts_are_encoded_once(engine):
    for seed in range(3):
        engine.generate(replace(CAT, seed=seed))
    status = engine.status()
    assert (status["prompt_misses"], status["prompt_hits"]) == (1, 2)
    assert status["images"] == 3


def test_trigger_words_are_added_once(engine):
    ink = (StyleWeight("ink"),)
    with_word = engine.generate(replace(CAT, prompt="a cat, ink", styles=ink))
    assert np.array_equal(pixels(with_word), pixels(engine.generate(replace(CAT, styles=ink))))


def test_a_style_of_another_model_is_refused_and_harms_nothing(engine, settings):
    plain = pixels(engine.generate(CAT))
    tiny_models.write_lora(settings.styles / "pocket" / "alien.safetensors", tiny_models.small_unet(32), 2)
    engine.rescan()
    with pytest.raises(ModelUnavailable, match="does not fit"):
        engine.generate(replace(CAT, styles=(StyleWeight("alien"),)))
    assert np.array_equal(pixels(engine.generate(CAT)), plain)


def test_a_new_style_needs_no_restart(engine, settings):
    wanted = replace(CAT, styles=(StyleWeight("fresh"),))
    with pytest.raises(InvalidRequest, match="style"):
        engine.generate(wanted)
    tiny_models.write_style(settings.styles, "fresh", 30)
    engine.rescan()
    assert np.abs(pixels(engine.generate(wanted)) - pixels(engine.generate(CAT))).max() > 2


def test_a_visitors_own_style_draws_and_stands_in_no_list(engine, settings):
    path = tiny_models.write_style(settings.styles, "fresh", 30)
    engine.rescan()
    expected = pixels(engine.generate(replace(CAT, styles=(StyleWeight("fresh"),))))
    own = own_path(own_folder(settings.cache), new_name())
    own.parent.mkdir(parents=True)
    path.rename(own)
    engine.rescan()
    assert np.array_equal(pixels(engine.generate(replace(CAT, styles=(StyleWeight(own.stem),)))), expected)
    assert {style.name for style in engine.styles("pocket")} == {"ink", "clay"}
    tagged = engine.generate(replace(CAT, prompt=f"a cat <lora:{own.stem}:1>"))
    assert np.array_equal(pixels(tagged), pixels(engine.generate(CAT))), "a prompt's tag names no visitor's file"
    with pytest.raises(InvalidRequest, match="style"):
        engine.generate(replace(CAT, styles=(StyleWeight(new_name()),)))


@pytest.mark.slow
def test_models_switch_within_a_budget_and_never_mix(settings, repositories, engine):
    engine.generate(CAT)
    budget = engine.status()["bytes"] * 1.05 / 1e9
    small = Engine(replace(settings, memory_gb=budget), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    requests = [
        CAT,
        GenerationRequest("a cat", model="sd15", width=256, height=256),
        replace(CAT, recipe="teacher", num_inference_steps=8),
    ]
    wanted = [pixels(engine.generate(request)) for request in requests]
    for i in range(9):
        assert np.array_equal(pixels(small.generate(requests[i % 3])), wanted[i % 3])
    status = small.status()
    assert status["evictions"] > 0
    assert status["bytes"] <= status["budget"]
    small.close()


def test_out_of_memory_while_loading_is_clear_and_the_next_request_works(settings, repositories):
    small = GenerationRequest("a cat", model="sd15", width=256, height=256)
    need = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    need.generate(small)
    budget = need.status()["bytes"] * 1.05 / 1e9
    engine = Engine(replace(settings, memory_gb=budget), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    engine.generate(small)
    with pytest.raises(DeviceOutOfMemory, match="budget"):
        engine.generate(CAT)
    assert engine.status()["resident"] == ()
    assert engine.generate(small).images


def test_out_of_memory_while_drawing_frees_the_cache(engine, monkeypatch):
    engine.generate(CAT)
    monkeypatch.setattr("hypersd_app.engine.sampling.generate.decode", exhausted)
    with pytest.raises(DeviceOutOfMemory, match="while drawing"):
        engine.generate(CAT)
    assert engine.status()["resident"] == ()
    monkeypatch.undo()
    assert engine.generate(CAT).images


def exhausted(*args):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_ten_threads_load_once_and_agree(engine):
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(pixels(engine.generate(CAT)))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 10
    assert all(np.array_equal(result, results[0]) for result in results)
    assert engine.status()["loads"] == 4


def test_progress_rises_to_one(engine):
    seen = []
    engine.generate(replace(CAT, num_inference_steps=4), lambda share, text, *_: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_long_run_shows_what_it_has_by_now(engine, monkeypatch):
    monkeypatch.setattr(rendering, "PREVIEW_EVERY", 0.0)
    seen = []
    result = engine.generate(replace(CAT, num_inference_steps=4), lambda share, text, *image: seen.append(image))
    images = [image[0] for image in seen if image]
    assert [image.size for image in images] == [(256, 256)] * 3, "one a step, but for the last, which is the result"
    assert engine.generate(replace(CAT, num_inference_steps=4)).images == result.images, "looking changes nothing"


def test_a_student_trained_further_is_loaded_anew(own_assets, settings, repositories):
    engine = Engine(replace(settings, assets=own_assets), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    before = pixels(engine.generate(CAT))
    tiny_models.write_lora(
        own_assets / "pocket" / "accelerator.safetensors", tiny_models.new_unet((64, 64, 64), 1), 4, seed=77, scale=2.0
    )
    engine.rescan()
    assert np.abs(pixels(engine.generate(CAT)) - before).max() > 2


def test_warm_up_loads_what_a_sketch_needs(engine):
    engine.warm_up("pocket")
    loads = engine.status()["loads"]
    engine.generate(replace(CAT, control=ControlInput(sketch(256))))
    assert engine.status()["loads"] == loads


def test_a_negative_prompt_without_guidance_is_refused_not_ignored(engine):
    wanted = GenerationRequest("a cat", "blurry", recipe="teacher", num_inference_steps=8, guidance_scale=1.0)
    with pytest.raises(InvalidRequest, match=r"negative_prompt: 'blurry' .* guidance_scale 1"):
        engine.generate(wanted)
    assert engine.generate(replace(wanted, guidance_scale=1.5)).images


@pytest.mark.parametrize("model", ["pocket", "sd15", "sdxl"])
def test_a_sketch_after_text_loads_one_part(engine, model):
    side = SIZES[model]
    words = GenerationRequest("a cat", model=model, recipe="unified", width=side, height=side)
    drawn = replace(words, control=ControlInput(sketch(side)))
    engine.generate(words)
    before = engine.status()
    engine.generate(drawn)
    after = engine.status()
    assert after["loads"] == before["loads"] + 1
    (new,) = set(after["resident"]) - set(before["resident"])
    assert new.startswith("controlnet of")
    engine.generate(words)
    engine.generate(drawn)
    assert engine.status()["loads"] == after["loads"]


def test_wrong_names_are_refused_with_the_right_ones(engine):
    for changes, words in (
        ({"model": "sd99"}, "pocket"),
        ({"recipe": "9steps"}, "unified"),
        ({"decoder": "huge"}, "full"),
        ({"styles": (StyleWeight("../x"),)}, "ink"),
        ({"control": ControlInput(sketch(256), kind="depth")}, "scribble"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            engine.generate(replace(CAT, **changes))
