"""Components of a model from a diffusers folder, the Hub or a single-file checkpoint. safetensors only."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError
from safetensors.torch import load_file

from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, ModelSpec, Recipe, WeightSource
from hypersd_app.engine.loading.checkpoints import BASE_MODELS, Checkpoint, count_checkpoint, is_checkpoint
from hypersd_app.engine.loading.lora import fuse, read_factors
from hypersd_app.engine.memory.placement import Footprint
from hypersd_app.engine.plan import Choice
from hypersd_app.engine.sampling.text import PromptEncoder
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.autoencoders import POCKET_AUTOENCODERS
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import PocketUNet
from hypersd_app.models.text_encoder import MaskedBertModel
from hypersd_app.weights.downloads import Progress
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

TOP = ""  # the top folder of a repository


class Loader:
    """Reads networks into CPU memory in `dtype`; placing them on a device is the backend's work."""

    def __init__(self, hub: Hub, dtype: torch.dtype, base_models: Path = BASE_MODELS) -> None:
        """`base_models` holds a configuration for each family, for checkpoints, which come without one."""
        self.hub = hub
        transformers.utils.logging.disable_progress_bar()  # a server's log is no place for one
        self.dtype = dtype
        self._base_models = base_models

    def reading(self, dtype: torch.dtype) -> Loader:
        """The same loader for another precision."""
        other = copy.copy(self)
        other.dtype = dtype
        return other

    def footprint(self, choice: Choice, progress: Progress | None = None) -> Footprint:
        """How many weights the parts of a choice have, by the headers of their files. Raises ModelUnavailable."""
        model, unet, decoder, control = choice.model, choice.recipe.unet, choice.decoder, choice.control
        if is_checkpoint(model.source):
            assert model.source.path is not None
            counts = count_checkpoint(model.source.path)
        else:
            encoders = [f"text_encoder{name}" for name in encoder_names(model)]
            counts = {
                "text": sum(self._count(model.source, name, progress) for name in encoders),
                "unet": 0 if unet is not None else self._count(model.source, "unet", progress),
            }
        if unet is not None:
            counts["unet"] = read_header(self.hub.file(unet, progress)).numbers()
        if not is_checkpoint(decoder.source):
            (component,) = decoder_components(decoder)
            counts["decoder"] = self._count(decoder.source, component, progress, ("decoder.",))
        counts["control"] = 0 if control is None else self._count(control.source, TOP, progress)
        return Footprint(**counts)

    def _count(self, source: WeightSource, component: str, progress: Progress | None, prefixes: tuple[str, ...] = ("",)) -> int:
        folder = self.hub.folder(source, [component], progress) / component
        return sum(read_header(path).numbers(prefixes) for path in weight_files(folder))

    def text(self, model: ModelSpec, progress: Progress | None = None) -> PromptEncoder:
        """Tokenizers and text encoders. Raises ModelUnavailable."""
        names = encoder_names(model)
        if is_checkpoint(model.source):
            with readable(model.source):
                return self._checkpoint(model).text(len(names) > 1, zeroes_empty_negative(self._base(model)))
        root = self.hub.folder(model.source, [TOP, *text_components(model)], progress)
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

    def _base(self, model: ModelSpec) -> Path:
        return self._base_models / model.family

    def _checkpoint(self, model: ModelSpec) -> Checkpoint:
        assert model.source.path is not None
        return Checkpoint(model.source.path, self._base(model), self.dtype)

    def unet(self, model: ModelSpec, recipe: Recipe, progress: Progress | None = None) -> Any:
        """The recipe's UNet, its accelerating LoRA fused. Raises ModelUnavailable."""
        if recipe.unet is not None:
            return self._whole_unet(model, recipe.unet, progress)
        if is_checkpoint(model.source):
            with readable(model.source):
                unet: Any = self._checkpoint(model).unet()
        else:
            unet = self._model(PocketUNet if model.family == "pocket" else UNet2DConditionModel, model.source, "unet", progress)
        if recipe.lora is not None:
            factors = read_factors(self.hub.file(recipe.lora, progress))
            fuse(unet, factors["unet"], recipe.lora_scale)
        return unet

    def _whole_unet(self, model: ModelSpec, source: WeightSource, progress: Progress | None) -> Any:
        """A UNet's weights in one file, cast while they load, so that float32 never exists whole."""
        path = self.hub.file(source, progress)
        root = self._base(model) if is_checkpoint(model.source) else self.hub.configuration(model.source, ["unet"], progress)
        with readable(source):
            read_header(path)
            with torch.device("meta"):
                kind = PocketUNet if model.family == "pocket" else UNet2DConditionModel
                unet = kind.from_config(kind.load_config(root / "unet"))
            tensors = {name: tensor.to(self.dtype) for name, tensor in load_file(path).items()}
            unet.load_state_dict(tensors, assign=True)
        return unet

    def decoder(self, model: ModelSpec, decoder: DecoderSpec, progress: Progress | None = None) -> Any:
        """The VAE whose decoder `decoder` names. Raises ModelUnavailable."""
        source = decoder.half_source if self.dtype == torch.float16 and decoder.half_source else decoder.source
        if decoder.class_name in POCKET_AUTOENCODERS:
            root = self.hub.folder(source, [TOP], progress)
            kind = POCKET_AUTOENCODERS[read_json(root / "config.json").get("_class_name", decoder.class_name)]
            return self._model(kind, source, TOP, progress)
        if decoder.class_name == "AutoencoderTiny":
            return self._model(AutoencoderTiny, source, TOP, progress)
        if is_checkpoint(source):
            with readable(source):
                return self._checkpoint(model).autoencoder()
        return self._model(AutoencoderKL, source, TOP if source is decoder.half_source else "vae", progress)

    def controlnet(self, control: ControlSpec, progress: Progress | None = None) -> Any:
        """A ControlNet. Raises ModelUnavailable."""
        root = self.hub.folder(control.source, [TOP], progress)
        pocket = read_json(root / "config.json").get("_class_name") == "PocketControlNet"
        return self._model(PocketControlNet if pocket else ControlNetModel, control.source, TOP, progress)

    def scheduler_config(self, model: ModelSpec, progress: Progress | None = None) -> dict[str, Any]:
        """The model's own noise schedule. Raises ModelUnavailable."""
        inside = is_checkpoint(model.source)
        root = self._base(model) if inside else self.hub.configuration(model.source, ["scheduler"], progress)
        return {**read_json(root / "scheduler" / "scheduler_config.json"), **dict(model.schedule)}

    def _model(self, kind: Any, source: WeightSource, component: str, progress: Progress | None) -> Any:
        folder = self.hub.folder(source, [component], progress) / component
        with readable(source):
            return kind.from_pretrained(
                folder, torch_dtype=self.dtype, variant=variant(folder), use_safetensors=True, local_files_only=True
            ).eval()


def encoder_names(model: ModelSpec) -> list[str]:
    """What is put behind `tokenizer` and `text_encoder`: SDXL has two of each."""
    return ["", "_2"] if model.family == "sdxl" else [""]


def text_components(model: ModelSpec) -> list[str]:
    """Folders that a prompt encoder is read from."""
    return [f"{part}{name}" for name in encoder_names(model) for part in ("tokenizer", "text_encoder")]


def decoder_components(decoder: DecoderSpec) -> tuple[str, ...]:
    """The folder that a decoder is read from: its own repository's top, or the VAE of a whole model."""
    return ("vae",) if decoder.class_name == "AutoencoderKL" else (TOP,)


def weight_files(folder: Path) -> list[Path]:
    """One set of safetensors in a component's folder: in full size if there is one, else in half."""
    paths = [path for path in sorted(folder.glob("*.safetensors")) if "non_ema" not in path.name]
    return [path for path in paths if ".fp16" not in path.name] or paths


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
    except SingleFileComponentError as error:
        raise ModelUnavailable(f"{source} lacks a part that is needed; a checkpoint has to hold all of them. ({error})") from error
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelUnavailable(f"The weights in {source} cannot be read: {error}") from error
    except RuntimeError as error:
        if "state_dict" not in str(error) and "size mismatch" not in str(error):
            raise
        raise ModelUnavailable(f"The weights in {source} are of another shape than its configuration says: {error}") from error
