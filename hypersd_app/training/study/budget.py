"""How many steps a budget of forward passes buys, and what a step costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Stages = tuple[tuple[int, float], ...]
Costs = tuple[list[float], float]  # forward passes of a step in each stage, and before the first step


@dataclass(frozen=True)
class Plan:
    """`stages` as (segments, steps), what a step costs in each of them, and what is paid `before` the first."""

    stages: tuple[tuple[int, int], ...]
    costs: tuple[float, ...]
    before: float = 0.0

    @property
    def steps(self) -> int:
        """All of them."""
        return sum(steps for _, steps in self.stages)

    @property
    def spent(self) -> float:
        """Forward passes for one image, in all."""
        return self.before + sum(steps * cost for (_, steps), cost in zip(self.stages, self.costs, strict=True))


def whole_plan(budget: float, stages: Stages, costs: Sequence[float], before: float = 0.0) -> Plan:
    """Steps in the stages' shares that together cost at most `budget`, but at least one in each."""
    shares = [share / sum(share for _, share in stages) for _, share in stages]
    mean = sum(share * cost for share, cost in zip(shares, costs, strict=True))
    total = (budget - before) / mean
    return Plan(
        tuple((segments, max(1, int(total * share))) for (segments, _), share in zip(stages, shares, strict=True)),
        tuple(costs),
        before,
    )


def continued_plan(budget: float, trunk: Plan, segments: int, cost: float, before: float) -> Plan:
    """The trunk's stages and one more of so many segments, for what the trunk leaves of the budget."""
    steps = max(1, int((budget - trunk.spent - before) / cost))
    return Plan((*trunk.stages, (segments, steps)), (*trunk.costs, cost), before)


def remembered(path: Path, measure: Callable[[], Costs]) -> Costs:
    """Costs from `path`, or measured and left there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".partial")
        unfinished.write_text(json.dumps(measure()), encoding="utf-8")
        unfinished.replace(path)
    costs, before = json.loads(path.read_text(encoding="utf-8"))
    return costs, before
