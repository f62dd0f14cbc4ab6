"""Components of a model from a diffusers folder, the Hub or a single-file checkpoint. safetensors only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from hypersd_app.catalog.builtin import hub_models
from hypersd_app.catalog.headers import read_header
from hypersd_app.catalog.rows import ControlSpec, DecoderSpec, ModelSpec, Recipe, WeightSource
from hypersd_app.engine.adapters import SDXL_BLOCKS, fuse, read_factors
from hypersd_app.engine.hub import Hub, Progress
from hypersd_app.engine.prompts import PromptEncoder
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.text_encoder import MaskedBertModel

logger = logging.getLogger(__name__)

TOP = ""  # the top folder of a repository


class Loader:
    """Reads networks into CPU memory in `dtype`; placing them on a device is the backend's work."""

    def __init__(self, hub: Hub, dtype: torch.dtype) -> None:
        self.hub = hub
        transformers.utils.logging.disable_progress_bar()  # a server's log is no place for one
        self.dtype = dtype

    def text(self, model: ModelSpec, progress: Progress | None = None) -> PromptEncoder:
        """Tokenizers and text encoders. Raises ModelUnavailable."""
        double = model.family == "sdxl"
        names = ["", "_2"] if double else [""]
        if is_checkpoint(model.source):
            return self._checkpoint_text(model, progress)
        parts = [f"{part}{name}" for name in names for part in ("tokenizer", "text_encoder")]
        root = self.hub.folder(model.source, [TOP, *parts], progress)
        with readable(model.source):
            if model.family == "pocket":
                tokenizer: Any = transformers.AutoTokenizer.from_pretrained(root / "tokenizer", local_files_only=True)
                encoder = MaskedBertModel.from_pretrained(root / "text_encoder", dtype=self.dtype, local_files_only=True)
                return PromptEncoder([tokenizer], [encoder.eval()])
            tokenizers = [transformers.CLIPTokenizer.from_pretrained(root / f"tokenizer{name}") for name in names]
            encoders = [self._clip(root / f"text_encoder{name}", bool(name)) for name in names]
            return PromptEncoder(tokenizers, encoders, zeroes_empty_negative(root))

    def _clip(self, folder: Path, projected: bool) -> Any:
        kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
        arguments: dict[str, Any] = {
            "dtype": self.dtype,
            "variant": variant(folder),
            "use_safetensors": True,
            "local_files_only": True,
        }
        return kind.from_pretrained(folder, **arguments).eval()

    def _checkpoint_text(self, model: ModelSpec, progress: Progress | None) -> PromptEncoder:
        """A checkpoint holds the encoders but no tokenizer: that and all shapes come from the base model's repository."""
        root = self._base_configuration(model, progress)
        large = model.family == "sdxl"
        kind = diffusers.StableDiffusionXLPipeline if large else diffusers.StableDiffusionPipeline
        without: dict[str, Any] = {"unet": None, "vae": None, "scheduler": None}
        if not large:
            without |= {"safety_checker": None, "feature_extractor": None}
        with readable(model.source):
            pipeline = kind.from_single_file(
                str(model.source.path), config=str(root), local_files_only=True, torch_dtype=self.dtype, **without
            )
        if not large:
            return PromptEncoder([pipeline.tokenizer], [pipeline.text_encoder])
        tokenizers = [pipeline.tokenizer, pipeline.tokenizer_2]
        return PromptEncoder(tokenizers, [pipeline.text_encoder, pipeline.text_encoder_2], zeroes_empty_negative(root))

    def _base_configuration(self, model: ModelSpec, progress: Progress | None) -> Path:
        base = next(row for row in hub_models() if row.name == model.family)
        second = ["tokenizer_2", "text_encoder_2"] if model.family == "sdxl" else []
        return self.hub.configuration(base.source, ["tokenizer", "text_encoder", "unet", "vae", "scheduler", *second], progress)

    def unet(self, model: ModelSpec, recipe: Recipe, progress: Progress | None = None) -> Any:
        """The recipe's UNet, its accelerating LoRA fused. Raises ModelUnavailable."""
        if recipe.unet is not None:
            return self._whole_unet(model, recipe.unet, progress)
        if is_checkpoint(model.source):
            root = self._base_configuration(model, progress)
            with readable(model.source):
                unet: Any = UNet2DConditionModel.from_single_file(
                    str(model.source.path), config=str(root), subfolder="unet", torch_dtype=self.dtype, local_files_only=True
                )
        else:
            unet = self._model(UNet2DConditionModel, model.source, "unet", progress)
        if recipe.lora is not None:
            factors = read_factors(self.hub.file(recipe.lora, progress), SDXL_BLOCKS if model.family == "sdxl" else None)
            fuse(unet, factors["unet"], recipe.lora_scale)
        return unet

    def _whole_unet(self, model: ModelSpec, source: WeightSource, progress: Progress | None) -> Any:
        """A UNet's weights in one file, cast while they load, so that float32 never exists whole."""
        path = self.hub.file(source, progress)
        if is_checkpoint(model.source):
            root = self._base_configuration(model, progress)
        else:
            root = self.hub.configuration(model.source, ["unet"], progress)
        with readable(source):
            read_header(path)
            with torch.device("meta"):
                unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(root / "unet"))
            tensors = {name: tensor.to(self.dtype) for name, tensor in load_file(path).items()}
            unet.load_state_dict(tensors, assign=True)
        return unet

    def decoder(self, model: ModelSpec, decoder: DecoderSpec, progress: Progress | None = None) -> Any:
        """The VAE whose decoder `decoder` names. Raises ModelUnavailable."""
        source = decoder.half_source if self.dtype == torch.float16 and decoder.half_source else decoder.source
        if decoder.class_name == "PocketAutoencoder":
            return self._model(PocketAutoencoder, source, TOP, progress)
        if decoder.class_name == "AutoencoderTiny":
            return self._model(AutoencoderTiny, source, TOP, progress)
        if is_checkpoint(source):
            root = self._base_configuration(model, progress)
            with readable(source):
                return AutoencoderKL.from_single_file(
                    str(source.path), config=str(root), subfolder="vae", torch_dtype=self.dtype, local_files_only=True
                )
        return self._model(AutoencoderKL, source, TOP if source is decoder.half_source else "vae", progress)

    def controlnet(self, control: ControlSpec, progress: Progress | None = None) -> Any:
        """A ControlNet. Raises ModelUnavailable."""
        root = self.hub.folder(control.source, [TOP], progress)
        pocket = read_json(root / "config.json").get("_class_name") == "PocketControlNet"
        return self._model(PocketControlNet if pocket else ControlNetModel, control.source, TOP, progress)

    def scheduler_config(self, model: ModelSpec, progress: Progress | None = None) -> dict[str, Any]:
        """The model's own noise schedule. Raises ModelUnavailable."""
        if is_checkpoint(model.source):
            root = self._base_configuration(model, progress)
        else:
            root = self.hub.configuration(model.source, ["scheduler"], progress)
        return read_json(root / "scheduler" / "scheduler_config.json")

    def _model(self, kind: Any, source: WeightSource, component: str, progress: Progress | None) -> Any:
        folder = self.hub.folder(source, [component], progress) / component
        with readable(source):
            return kind.from_pretrained(
                folder, torch_dtype=self.dtype, variant=variant(folder), use_safetensors=True, local_files_only=True
            ).eval()


def is_checkpoint(source: WeightSource) -> bool:
    """True for a single file that holds a whole model."""
    return source.path is not None and source.path.suffix == ".safetensors"


def variant(folder: Path) -> str | None:
    """ "fp16" if only half-size weights are there."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def read_json(path: Path) -> dict[str, Any]:
    """A configuration. Raises ModelUnavailable."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path.parent.name}/{path.name} is missing or unreadable: {error}") from error
    return dict(values)


def zeroes_empty_negative(root: Path) -> bool:
    """SDXL's `force_zeros_for_empty_prompt`, true unless its index says otherwise."""
    index = root / "model_index.json"
    return bool(read_json(index).get("force_zeros_for_empty_prompt", True)) if index.exists() else True


@contextmanager
def readable(source: WeightSource) -> Iterator[None]:
    """Turn failures of reading into ModelUnavailable."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelUnavailable(f"The weights in {source} cannot be read: {error}") from error
    except RuntimeError as error:
        if "state_dict" not in str(error) and "size mismatch" not in str(error):
            raise
        raise ModelUnavailable(f"The weights in {source} are of another shape than its configuration says: {error}") from error
