"""The gate that prompts and images pass through: one for every door, on by default when others can reach the studio."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image

from hypersd_app.catalog.revisions import pinned, read_pins
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.errors import ModelUnavailable, Refused
from hypersd_app.safety.prompt_filter import PromptFilter, prompt_filter
from hypersd_app.settings import Settings
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

CHECKER_WEIGHTS = WeightSource(repo="stable-diffusion-v1-5/stable-diffusion-v1-5")
HARMLESS_FAMILIES = ("pocket",)  # drawn from icons alone: there is nothing in them to check for
SWITCH = "HYPERSD_SAFETY=off turns the filter off for private use"


class ImageChecker(Protocol):
    """Says of each image whether it must not be shown."""

    def __call__(self, images: Sequence[Image.Image]) -> list[bool]: ...


class StandardChecker:
    """The safety checker that ships with Stable Diffusion 1.5: CLIP against fixed concepts. On the CPU, in float32."""

    def __init__(self, hub: Hub, source: WeightSource = CHECKER_WEIGHTS) -> None:
        """Load it. Raises ModelUnavailable."""
        import torch
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        from hypersd_app.engine.loading.loader import readable, variant

        folder = hub.folder(source, ["safety_checker"])
        processor = hub.configuration(source, ["feature_extractor"]) / "feature_extractor"
        with readable(source):
            self._processor = CLIPImageProcessor.from_pretrained(processor, local_files_only=True)
            self._model = StableDiffusionSafetyChecker.from_pretrained(
                folder / "safety_checker",
                variant=variant(folder / "safety_checker"),
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=torch.float32,
            ).eval()

    def __call__(self, images: Sequence[Image.Image]) -> list[bool]:
        import numpy as np

        pixels = self._processor(list(images), return_tensors="pt").pixel_values
        _, found = self._model(clip_input=pixels, images=[np.zeros((1, 1, 3)) for _ in images])
        return [bool(flag) for flag in found]


class SafetyGate:
    """Refuses blocked prompts and flagged images. The image checker is loaded when a model first needs it."""

    def __init__(self, words: PromptFilter, load: Callable[[], ImageChecker]) -> None:
        self._words = words
        self._load = load
        self._checker: ImageChecker | None = None
        self._lock = threading.Lock()

    def check_prompt(self, prompt: str) -> None:
        """Raise Refused for words on the block list."""
        self._words.check(prompt)

    def require(self, family: str) -> ImageChecker | None:
        """The checker for a model of `family`, None if it needs none. Raises ModelUnavailable if it can't be loaded."""
        if family in HARMLESS_FAMILIES:
            return None
        with self._lock:
            if self._checker is None:
                try:
                    self._checker = self._load()
                except ModelUnavailable as error:
                    raise ModelUnavailable(
                        f"This studio is open to others, and its safety checker is not here, so it draws with the embedded "
                        f"model only. {SWITCH}. ({error})"
                    ) from error
            return self._checker

    def check_images(self, family: str, images: Callable[[], Sequence[Image.Image]]) -> None:
        """Raise Refused if one of the images must not be shown; they are asked for where a checker has to see them."""
        checker = self.require(family)
        if checker is not None and any(checker(images())):
            raise Refused("The safety filter held this image back; another seed or other words may pass.")


def safety_gate(settings: Settings, hub: Hub | None = None) -> SafetyGate | None:
    """The gate that the settings ask for, None for private use. Raises InvalidRequest."""
    if settings.safety == "off" or (settings.safety == "auto" and not settings.public):
        return None
    hub = hub or Hub(offline=settings.offline)
    weights = pinned(CHECKER_WEIGHTS, read_pins(settings.revisions))
    return SafetyGate(prompt_filter(settings.blocked_words), lambda: StandardChecker(hub, weights))
