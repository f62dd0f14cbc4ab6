"""CLIP's pieces of words without its network: how a Stable Diffusion model counts a prompt."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hypersd_app import catalog
from hypersd_app.prompts.chunks import TokenTable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MERGES = Path(catalog.__file__).parent / "base_models" / "clip_merges.txt"
READ_AT_ONCE = 77  # tokens, start and end among them
START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_table(model: Path) -> TokenTable:
    """The table of a model's folder, or, for a single file and a folder without one, of CLIP's own tokens."""
    folder = model / "tokenizer"
    return _table(folder if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")) else None)


@functools.lru_cache(maxsize=4)
def _table(folder: Path | None) -> TokenTable:
    tokenizer = _own(folder) if folder is not None else _usual()
    number = tokenizer.token_to_id
    start, end = number(START), number(END)
    assert start is not None and end is not None
    return TokenTable(
        ids=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        word=lambda word: number(f"{word}</w>"),
        start=start,
        end=end,
        pad=end,
        length=READ_AT_ONCE,
        comma=number(",</w>"),
    )


def _own(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return _tokenizer(vocabulary, _merges(folder / "merges.txt"))


def _usual() -> Tokenizer:
    """Every byte, every byte that ends a word, then a token for each merge, then the two ends."""
    merges = _merges(MERGES)
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    return _tokenizer({token: number for number, token in enumerate(tokens)}, merges)


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [(first, second) for first, second in (line.split() for line in lines if line.strip())]


def _byte_letters() -> list[str]:
    """A visible letter for each byte: the visible ones stand for themselves."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, visible), *(chr(256 + i) for i in range(256 - len(visible)))]


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer
