"""Single-file checkpoints of SD1.5 and SDXL. Shapes, schedule and tokenizer come with this package: no network is asked."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file
from torch import Tensor

from hypersd_app import catalog
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.engine.sampling.text import PromptEncoder

BASE_MODELS = Path(catalog.__file__).parent / "base_models"  # a folder a family: its diffusers configuration, no weights
MERGES = BASE_MODELS / "clip_merges.txt"
PREFIXES = {  # where a checkpoint keeps the weights of a part
    "text": ("cond_stage_model.", "conditioner."),
    "unet": ("model.diffusion_model.",),
    "decoder": ("first_stage_model.decoder.",),
}
CLIP_PREFIXES = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
CLIP_PARTS = ("embeddings.", "encoder.", "final_layer_norm.")
MARKS = ("scaled_fp8", ".scale_input", ".input_scale")  # of files with scales; they are no weights
ENDS = ("<|startoftext|>", "<|endoftext|>")


class Checkpoint:
    """The parts of one file, in `dtype`. `configuration` is a diffusers folder that may lack all weights."""

    def __init__(self, path: Path, configuration: Path, dtype: torch.dtype) -> None:
        self._path = path
        self._arguments: dict[str, Any] = {"config": str(configuration), "torch_dtype": dtype, "local_files_only": True}
        self._configuration = configuration

    def text(self, double: bool, zero_empty_negative: bool) -> PromptEncoder:
        """Tokenizers and text encoders, two of each for SDXL."""
        names = ["", "_2"] if double else [""]
        tensors = checkpoint_tensors(self._path)
        tokenizers = [clip_tokenizer(self._configuration / f"tokenizer{name}") for name in names]
        kinds = {"": transformers.CLIPTextModel, "_2": transformers.CLIPTextModelWithProjection}
        encoders = [
            create_diffusers_clip_model_from_ldm(kinds[name], tensors, subfolder=f"text_encoder{name}", **self._arguments)
            for name in names
        ]
        return PromptEncoder(tokenizers, encoders, zero_empty_negative)

    def unet(self) -> Any:
        """The UNet."""
        return UNet2DConditionModel.from_single_file(self._readable(), subfolder="unet", **self._arguments)

    def autoencoder(self) -> Any:
        """The VAE."""
        return AutoencoderKL.from_single_file(self._readable(), subfolder="vae", **self._arguments)

    def _readable(self) -> Any:
        """What diffusers reads: the file, or, where weights have scales beside them, tensors with these multiplied in."""
        return checkpoint_tensors(self._path) if scale_names(read_header(self._path).shapes) else str(self._path)


def checkpoint_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors, scales multiplied in, under the usual names: some files leave out `text_model.`."""
    tensors = load_file(path)
    scales = scale_names(tensors)
    for name, scale in scales.items():
        if name in tensors:
            tensors[name] = tensors[name].float() * tensors[scale].float()
    left_out = {*scales.values(), *(name for name in tensors if name.endswith(MARKS))}
    return {usual_name(name): tensor for name, tensor in tensors.items() if name not in left_out}


def scale_names(names: Iterable[str]) -> dict[str, str]:
    """Weights in 8 bits and the tensors that scale them."""
    ends = {"scale_weight": "weight", "weight_scale": "weight"}
    found = ((name, *name.rpartition(".")[::2]) for name in names)
    return {f"{place}.{ends[end]}": name for name, place, end in found if end in ends}


def usual_name(name: str) -> str:
    """A CLIP weight's name with the `text_model.` that some files leave out."""
    prefix = next((prefix for prefix in CLIP_PREFIXES if name.startswith(prefix)), "")
    rest = name.removeprefix(prefix)
    return f"{prefix}text_model.{rest}" if prefix and rest.startswith(CLIP_PARTS) else name


def is_checkpoint(source: WeightSource) -> bool:
    """True for a single file that holds a whole model."""
    return source.path is not None and source.path.suffix.lower() == ".safetensors"


def count_checkpoint(path: Path) -> dict[str, int]:
    """Numbers of weights of a checkpoint's parts. Raises ModelUnavailable."""
    header = read_header(path)
    return {part: header.numbers(prefixes) for part, prefixes in PREFIXES.items()}


def clip_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, or, if only its settings are there, CLIP's own."""
    if (folder / "vocab.json").exists() or (folder / "tokenizer.json").exists():
        return transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    vocabulary, merges = clip_vocabulary()
    return transformers.CLIPTokenizer(
        vocab=dict(vocabulary), merges=list(merges), model_max_length=settings["model_max_length"], pad_token=settings["pad_token"]
    )


@functools.cache
def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's tokens and merges: every byte, every byte that ends a word, then one token a merge, then the two ends."""
    lines = MERGES.read_text(encoding="utf-8").splitlines()[1:]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), *ENDS]
    return {token: number for number, token in enumerate(tokens)}, merges


def byte_letters() -> list[str]:
    """A visible letter for each byte, in the order of byte-level encoding: the visible ones stand for themselves."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [*(chr(byte) for byte in visible), *(chr(256 + i) for i in range(len(hidden)))]
