"""What a method is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypersd_app.distill.kit import Kit, Term


@dataclass(frozen=True)
class Method:
    """`stages` lists (segments, share of the steps), `end` where jumps end (see `Segments.draw`), `terms` makes the loss."""

    name: str
    title: str
    stages: tuple[tuple[int, float], ...]
    end: str
    terms: Callable[[Kit], list[Term]]
