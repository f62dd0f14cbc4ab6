"""Distillation methods as rows of one table: the same losses and the same loop, in different combinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypersd_app.training.distillation.context import Kit, Term
from hypersd_app.training.distillation.losses.consistency import ConsistencyTerm
from hypersd_app.training.distillation.losses.dmd import ScoreTerm
from hypersd_app.training.distillation.losses.reward import FeedbackTerm


@dataclass(frozen=True, kw_only=True)
class Method:
    """`stages` lists (segments, share of the steps), `end` where jumps end (see `Segments.draw`), `terms` makes the loss.

    `eta` is how much noise the method's own sampler adds between steps, in terms of `sample_tcd`: 1 predicts clean data and
    adds noise up to the next timestep, as LCM does; 0 follows the trajectory.
    """

    name: str
    title: str
    stages: tuple[tuple[int, float], ...]
    end: str
    terms: Callable[[Kit], list[Term]]
    eta: float = 0.3  # the value TCD's authors sample with


# TSCD's number of segments falls from 8 to 1 (Hyper-SD, Algorithm 1). The shares of the steps are our choice: later stages
# carry the prediction further and need longer.
TSCD_STAGES = ((8, 0.1), (4, 0.1), (2, 0.2), (1, 0.6))

METHODS: Mapping[str, Method] = {
    row.name: row
    for row in (
        # Luo et al., "Latent Consistency Models", 2023: every point jumps to clean data, and so does the sampler.
        Method(
            name="lcm",
            title="LCM",
            stages=((1, 1.0),),
            end="clean",
            terms=lambda kit: [ConsistencyTerm(kit, adversarial=())],
            eta=1.0,
        ),
        # Zheng et al., "Trajectory Consistency Distillation", 2024: every point jumps to a random later one.
        Method(name="tcd", title="TCD", stages=((1, 1.0),), end="random", terms=lambda kit: [ConsistencyTerm(kit, adversarial=())]),
        # Wang et al., "Phased Consistency Models", 2024: a fixed number of phases; every point jumps to its phase's edge.
        # With 4 or 8 steps its jumps are the trained ones; with 1 or 2 they cross a phase, which it was never made for. Its
        # discriminator compares the student's jump with the target's, both re-noised, at the weight of the authors' scripts.
        Method(
            name="pcm",
            title="PCM, 4 phases",
            stages=((4, 1.0),),
            end="edge",
            terms=lambda kit: [ConsistencyTerm(kit, adversarial=(0.1,), real="target")],
            eta=0.0,
        ),
        # Ren et al., "Hyper-SD", 2024: trajectory segmented consistency distillation, then its two additions, then all.
        Method(name="tscd", title="TSCD", stages=TSCD_STAGES, end="random", terms=lambda kit: [ConsistencyTerm(kit)]),
        Method(
            name="tscd-feedback",
            title="TSCD + feedback",
            stages=TSCD_STAGES,
            end="random",
            terms=lambda kit: [ConsistencyTerm(kit), FeedbackTerm(kit)],
        ),
        Method(
            name="tscd-dmd",
            title="TSCD + DMD",
            stages=TSCD_STAGES,
            end="random",
            terms=lambda kit: [ConsistencyTerm(kit), ScoreTerm(kit)],
        ),
        Method(
            name="hyper-sd",
            title="TSCD + DMD + feedback",
            stages=TSCD_STAGES,
            end="random",
            terms=lambda kit: [ConsistencyTerm(kit), ScoreTerm(kit), FeedbackTerm(kit)],
        ),
    )
}
