"""The safety gate: words, the standard checker, and when it stands there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image

from hypersd_app.errors import InvalidRequest, ModelUnavailable, Refused
from hypersd_app.requests import GenerationRequest
from hypersd_app.safety.gate import CHECKER_WEIGHTS, SafetyGate, StandardChecker, safety_gate
from hypersd_app.safety.prompt_filter import PromptFilter, prompt_filter
from hypersd_app.server.engines.factory import build_engine
from hypersd_app.server.engines.guarded import GuardedEngine
from hypersd_app.settings import Settings
from tests.support import tiny_models
from tests.support.fake_engine import FakeEngine

HARMLESS = (
    "a cat",
    "a cocktail on an Essex beach",
    "Scunthorpe grapes",
    "a rooster",
    "an analyst",
    "a blue tit's nest",
    "a gored bull",
)
BLOCKED = ("a nude man", "NUDES", "n u d e", "n.u.d.e woman", "nüde", "ｎｕｄｅ", "n4ked", "p0rn", "a gory scene", "child  abuse")


@pytest.mark.parametrize("prompt", HARMLESS)
def test_harmless_words_pass(prompt: str) -> None:
    PromptFilter().check(prompt)


@pytest.mark.parametrize("prompt", BLOCKED)
def test_blocked_words_do_not_and_are_not_repeated(prompt: str) -> None:
    with pytest.raises(Refused) as raised:
        PromptFilter().check(prompt)
    assert prompt not in str(raised.value)


def test_words_of_ones_own(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# ours\nbroccoli\ngreen  tea\n", encoding="utf-8")
    with pytest.raises(Refused):
        prompt_filter(str(words)).check("Broccoli soup")
    with pytest.raises(InvalidRequest, match="blocked_words"):
        prompt_filter(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("host", "share", "public"),
    [("127.0.0.1", False, False), ("localhost", False, False), ("::1", False, False), ("127.0.0.5", False, False),
     ("0.0.0.0", False, True), ("192.168.1.5", False, True), ("studio.example", False, True), ("127.0.0.1", True, True)],
)  # fmt: skip
def test_it_stands_where_others_can_come_in(host: str, share: bool, public: bool) -> None:
    settings = Settings(host=host, share=share)
    assert settings.public == public and (safety_gate(settings) is not None) == public
    assert safety_gate(Settings(host=host, share=share, safety="off")) is None
    assert safety_gate(Settings(host=host, share=share, safety="on")) is not None


def write_checker(root: Path, threshold: float) -> tiny_models.FolderHub:
    """A small random checker that flags everything (threshold below every similarity) or nothing."""
    folder = root / CHECKER_WEIGHTS.repo
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    torch.manual_seed(1)
    checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=8))
    for weights in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        weights.data.fill_(threshold)
    checker.save_pretrained(folder / "safety_checker")
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder / "feature_extractor")
    return tiny_models.FolderHub(root)


@pytest.mark.parametrize(("threshold", "flagged"), [(-2.0, True), (2.0, False)])
def test_the_standard_checker_reads_its_weights_and_judges(tmp_path: Path, threshold: float, flagged: bool) -> None:
    checker = StandardChecker(write_checker(tmp_path, threshold))
    images = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 48, 3), np.uint8)) for i in range(3)]
    assert checker(images) == [flagged] * 3


def guarded(flag: bool) -> tuple[GuardedEngine, FakeEngine, list[int]]:
    engine, seen = FakeEngine(), []

    def checker(images: object) -> list[bool]:
        seen.append(len(images))  # type: ignore[arg-type]
        return [flag] * len(images)  # type: ignore[arg-type]

    return GuardedEngine(engine, SafetyGate(PromptFilter(), lambda: checker)), engine, seen


def test_a_flagged_image_is_held_back_and_pocket_needs_no_checker() -> None:
    gate, _, seen = guarded(flag=True)
    with pytest.raises(Refused, match="held this image back"):
        gate.generate(GenerationRequest("a cat", model="large"))
    assert seen == [1]
    assert "safety" in gate.generate(GenerationRequest("a cat", num_images=2)).milliseconds and seen == [1]


def test_in_a_batch_who_is_refused_is_refused_alone() -> None:
    gate, engine, _ = guarded(flag=False)
    made = gate.generate_batch(
        [GenerationRequest("a cat", seed=1), GenerationRequest("a nude"), GenerationRequest("a dog", seed=3)]
    )
    assert [type(outcome).__name__ for outcome in made] == ["GenerationResult", "Refused", "GenerationResult"]
    assert [made[0].request.seed, made[2].request.seed] == [1, 3] and engine.batches == [2]  # type: ignore[union-attr]


def test_previews_of_checked_models_are_not_shown() -> None:
    gate, _, _ = guarded(flag=False)
    told: list[tuple[object, ...]] = []
    for model in ("large", "pocket"):
        told.clear()
        gate.generate(
            GenerationRequest("a cat", model=model, num_inference_steps=40, recipe="teacher"), lambda *step: told.append(step)
        )
        assert any(len(step) == 3 for step in told) == (model == "pocket")


def test_without_its_weights_a_model_is_refused_and_says_how_to_go_on(tmp_path: Path) -> None:
    def missing() -> StandardChecker:
        return StandardChecker(tiny_models.FolderHub(tmp_path))

    gate = GuardedEngine(FakeEngine(), SafetyGate(PromptFilter(), missing))
    with pytest.raises(ModelUnavailable, match="HYPERSD_SAFETY=off"):
        gate.generate(GenerationRequest("a cat", model="large"))
    assert gate.generate(GenerationRequest("a cat")).images


def test_a_public_studio_does_not_open_on_an_unchecked_model(tmp_path: Path) -> None:
    settings = Settings(host="0.0.0.0", default_model="sd15", offline=True, models=tmp_path, styles=tmp_path, runs=tmp_path)
    with pytest.raises(ModelUnavailable, match="safety checker is not here"):
        build_engine(settings)
