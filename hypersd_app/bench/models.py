"""SD1.5 and SDXL at full size with random weights: their values change nothing about their speed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, ModelSpec, Recipe
from hypersd_app.engine.loading.checkpoints import BASE_MODELS
from hypersd_app.engine.loading.loader import Loader, read_json
from hypersd_app.engine.memory.placement import Footprint
from hypersd_app.engine.plan import Choice
from hypersd_app.engine.sampling.text import PromptEncoder
from hypersd_app.weights.downloads import Progress
from hypersd_app.weights.hub import Hub

DEVIATION = 0.02
# Random numbers that are really drawn; weights repeat them, which costs a hundredth of the time. A prime, so that no two
# layers begin alike: OpenVINO would store equal ones once.
BLOCK = 1048583


class RandomTokenizer:
    """Always the same tokens, as many as a text encoder of `config` reads: its first and last token are CLIP's two ends."""

    def __init__(self, config: transformers.CLIPTextConfig) -> None:
        self.model_max_length = config.max_position_embeddings
        self._end = config.vocab_size - 1

    def __call__(self, text: str, **_: Any) -> Any:
        ids = torch.full((1, self.model_max_length), self._end)
        ids[0, 0] = self._end - 1
        return SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))


class RandomLoader(Loader):
    """Makes what `Loader` reads."""

    def __init__(self, hub: Hub, dtype: torch.dtype, family: str) -> None:
        super().__init__(hub, dtype)
        self.family = family

    def footprint(self, choice: Choice, progress: Progress | None = None) -> Footprint:
        """Counted on modules without values."""
        control = 0 if choice.control is None else count(empty(lambda: new_controlnet(self.family)))
        texts = sum(count(empty(make)) for make in text_encoders(self.family))
        unet, decoder = empty(lambda: new_unet(self.family)), empty(lambda: self._new_decoder(choice.decoder))
        return Footprint(texts, count(unet), count(decoder.decoder), control)

    def text(self, model: ModelSpec, progress: Progress | None = None) -> PromptEncoder:
        """CLIP ViT-L, and OpenCLIP ViT-bigG beside it for SDXL."""
        encoders = [self._made(make) for make in text_encoders(self.family)]
        return PromptEncoder([RandomTokenizer(encoder.config) for encoder in encoders], encoders, True)

    def _made(self, make: Callable[[], Any]) -> Any:
        return filled(make, self.dtype)

    def unet(self, model: ModelSpec, recipe: Recipe, progress: Progress | None = None) -> Any:
        """A UNet of the family's true shape."""
        return self._made(lambda: new_unet(self.family))

    def decoder(self, model: ModelSpec, decoder: DecoderSpec, progress: Progress | None = None) -> Any:
        """A decoder of the true shape."""
        return self._made(lambda: self._new_decoder(decoder))

    def _new_decoder(self, decoder: DecoderSpec) -> Any:
        return AutoencoderTiny() if decoder.class_name == "AutoencoderTiny" else new_vae(self.family)

    def controlnet(self, control: ControlSpec, progress: Progress | None = None) -> Any:
        """A ControlNet of the true shape."""
        return self._made(lambda: new_controlnet(self.family))

    def scheduler_config(self, model: ModelSpec, progress: Progress | None = None) -> dict[str, Any]:
        """The family's schedule."""
        return read_json(BASE_MODELS / self.family / "scheduler" / "scheduler_config.json")


class EmptyLoader(RandomLoader):
    """Gives the same modules without values, on the meta device: enough to count operations."""

    def _made(self, make: Callable[[], Any]) -> Any:
        return empty(make)


def text_encoders(family: str) -> list[Callable[[], nn.Module]]:
    """What makes each text encoder of the family."""
    folder = BASE_MODELS / family
    small = transformers.CLIPTextConfig.from_pretrained(folder / "text_encoder")
    if family != "sdxl":
        return [lambda: transformers.CLIPTextModel(small)]
    large = transformers.CLIPTextConfig.from_pretrained(folder / "text_encoder_2")
    return [lambda: transformers.CLIPTextModel(small), lambda: transformers.CLIPTextModelWithProjection(large)]


def new_unet(family: str) -> UNet2DConditionModel:
    """The true shape."""
    return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(BASE_MODELS / family / "unet"))


def new_controlnet(family: str) -> ControlNetModel:
    """The true shape."""
    return ControlNetModel.from_unet(new_unet(family), load_weights_from_unet=False)


def new_vae(family: str) -> AutoencoderKL:
    """The true shape."""
    return AutoencoderKL.from_config(AutoencoderKL.load_config(BASE_MODELS / family / "vae"))


def count(module: nn.Module) -> int:
    """How many weights a module has."""
    return sum(parameter.numel() for parameter in module.parameters())


def empty(make: Callable[[], Any]) -> Any:
    """A module whose parameters have shapes only."""
    with torch.device("meta"):
        return make().eval()


def filled(make: Callable[[], Any], dtype: torch.dtype) -> Any:
    """A module with random weights, made without the library's own slow initialisation."""
    module = nn.Module.to_empty(nn.Module.to(empty(make), dtype), device="cpu")
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).mul_(DEVIATION).to(dtype)
    start = 0
    with torch.no_grad():
        for parameter in module.parameters():
            start = repeat_into(parameter.view(-1), block, start)
        for name, buffer in module.named_buffers():
            if name.endswith("position_ids"):
                buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
            else:
                buffer.zero_()
    return module


def repeat_into(target: Tensor, block: Tensor, start: int) -> int:
    """Fill `target` (N,) with `block` over and over, from its place `start` on; the place where the next one goes on."""
    done = 0
    while done < len(target):
        piece = block[start : start + len(target) - done]
        target[done : done + len(piece)] = piece
        done += len(piece)
        start = (start + len(piece)) % len(block)
    return start
