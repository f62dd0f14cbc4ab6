"""Finished rows of studies in one small JSON file that can be committed: they outlive the run folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What was measured of one variant with one seed, by number of steps.

    `config` is its `row_key`. `block` tells rows apart whose teacher, judges or rewards are others: only rows of one block
    share what they are compared with. `steps` and `costs` are by stage, `before` and `costs` in forward passes for one
    image. `blocks` is the named figure by number of steps, of parts of the prompts that are the same in every row.
    `minutes` are the row's own training, without the trunk's, in the session that finished it.
    """

    config: str
    block: str
    variant: str
    seed: int
    figures: Mapping[str, Mapping[str, float]]
    steps: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    before: float = 0.0
    minutes: float = 0.0
    blocks: Mapping[str, list[float]] = field(default_factory=dict)


class Rows:
    """All rows in one file, one a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Row]:
        """What is there."""
        return [Row(**row) for row in json.loads(self.path.read_text(encoding="utf-8"))] if self.path.exists() else []

    def has(self, config: str, block: str, variant: str, seed: int) -> bool:
        """Whether there is a row that need not be trained again."""
        return any((row.config, row.block, row.variant, row.seed) == (config, block, variant, seed) for row in self.all())

    def add(self, row: Row) -> None:
        """Append a row, in one rename."""
        lines = [json.dumps(_rounded(asdict(each)), sort_keys=True) for each in (*self.all(), row)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        partial.replace(self.path)


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def block_stamp(weights: Iterable[Path]) -> str:
    """A short text that changes with the content of any of the safetensors files, or of any in the folders."""
    digest = hashlib.sha256()
    for path in weights:
        for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
