"""What a method is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypersd_app.distill.kit import Kit, Term


@dataclass(frozen=True)
class Method:
    """`stages` lists (segments, share of the steps), `end` where jumps end (see `Segments.draw`), `terms` makes the loss.

    `eta` is how much noise its own sampler adds between steps, in terms of `sample_tcd`: 1 goes to clean data and back to
    the next timestep, as LCM does, 0 follows the trajectory.
    """

    name: str
    title: str
    stages: tuple[tuple[int, float], ...]
    end: str
    terms: Callable[[Kit], list[Term]]
    eta: float = 0.3  # what TCD's authors draw with
