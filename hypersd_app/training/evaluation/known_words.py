"""`evaluate words`: how many of the commonest words does a model draw so that the judge finds them?

The lists were written before anything was trained for them: the words of Quick, Draw! and the commonest picturable nouns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.evaluation.features import judge_of
from hypersd_app.training.evaluation.models import Model
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import Workspace

FOLDER = Path(__file__).parent / "words"
LISTS = {"Quick, Draw! words": "quick_draw.txt", "common nouns": "common_nouns.txt"}
TOP = 5
SHOWN = 100


@dataclass(frozen=True)
class WordRow:
    """How likely each word's image is among the first five of 100, float64 (W,)."""

    model: str
    words: str
    chances: NDArray[np.float64]


def read_list(name: str) -> list[str]:
    """The words of one of `LISTS`."""
    lines = (FOLDER / LISTS[name]).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def measure(
    models: Sequence[Model], workspace: Workspace, sampler: Sampler, seed: int = 0, lists: Mapping[str, Sequence[str]] | None = None
) -> list[WordRow]:
    """An image of each word by each model, judged among the words of its list. Raises ModelUnavailable without a judge."""
    judge, rows = judge_of(workspace), []
    for name, words in (lists or {name: read_list(name) for name in LISTS}).items():
        prompts = [with_article(word) for word in words]
        for model in models:
            images = sampler.decode(model.draw(prompts, seed))
            rows.append(WordRow(model.name, name, judge.chances(images, prompts, prompts, TOP)))
    return rows


def markdown(rows: Sequence[WordRow]) -> str:
    """The table."""
    lines = [f"| images by | words | among the first {TOP} of 100 |", "|---|---|---|"]
    for row in rows:
        error = 1.96 * row.chances.std(ddof=1) / len(row.chances) ** 0.5
        lines.append(f"| {row.model} | {row.words} ({len(row.chances)}) | {100 * row.chances.mean():.1f} % ± {100 * error:.1f} |")
    return "\n".join([*lines, ""])


def write(rows: Sequence[WordRow], models: Sequence[Model], sampler: Sampler, output: Path, seed: int = 0) -> None:
    """Leave `words.md`, and `words.png` with 100 common nouns drawn at random, to be named blind: the labels are `words.txt`."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "words.md").write_text(markdown(rows), encoding="utf-8")
    chosen = np.random.default_rng(seed).choice(read_list("common nouns"), SHOWN, replace=False).tolist()
    quick = min(models, key=lambda model: model.steps)
    images = sampler.decode(quick.draw([with_article(word) for word in chosen], seed))
    contact_sheet(list(images), output / "words.png", 10, [str(number + 1) for number in range(SHOWN)], side=150)
    (output / "words.txt").write_text("\n".join(f"{i + 1} {word}" for i, word in enumerate(chosen)) + "\n", encoding="utf-8")
