"""A prompt as a text encoder is given it: words, grammar, and what stands for more than words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypersd_app.prompts.chunks import Chunk, TokenTable, a1111_chunks, comfyui_chunks
from hypersd_app.prompts.weights import Segment, a1111_segments, comfyui_segments

A1111, COMFYUI, PLAIN = "a1111", "comfyui", "plain"
GRAMMARS = (A1111, COMFYUI, PLAIN)
USUAL = {"sd15": A1111, "sdxl": A1111}  # by family, for prompts that come without one: that of the program that runs it


class Embedding(Protocol):
    """A textual inversion: a name that stands for so many vectors."""

    @property
    def name(self) -> str:
        """The word in a prompt."""
        ...

    @property
    def vectors(self) -> int:
        """How many there are."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Wording:
    """Words in a grammar. `triggers` stand behind them, weigh 1 and are read whatever has to be cut."""

    text: str
    grammar: str = PLAIN
    clip_skip: int | None = None  # 1 is the last layer, 2 the one before; None is the model's usual
    triggers: str = ""
    embeddings: tuple[Embedding, ...] = ()  # that the words may name

    @property
    def whole(self) -> str:
        """Words and triggers as one text."""
        return ", ".join(part for part in (self.text, self.triggers) if part)

    def segments(self) -> list[Segment]:
        """The words with their weights."""
        if self.grammar == PLAIN:
            return [Segment(self.whole)]
        read: Callable[[str], list[Segment]] = a1111_segments if self.grammar == A1111 else comfyui_segments
        found = read(self.text)
        return [*found, Segment(f", {self.triggers}" if self.text else self.triggers)] if self.triggers else found

    def chunks(self, table: TokenTable) -> Sequence[Chunk]:
        """The tokens with their weights, as many chunks as the words need."""
        fill = comfyui_chunks if self.grammar == COMFYUI else a1111_chunks
        return fill(self.segments(), table, {row.name: row.vectors for row in self.embeddings})
