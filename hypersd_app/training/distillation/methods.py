"""The distillation methods as a table: each a combination of the same losses in the same loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypersd_app.catalog.hyper_sd import ETA
from hypersd_app.training.distillation.context import Context, Loss
from hypersd_app.training.distillation.losses.consistency import ConsistencyLoss
from hypersd_app.training.distillation.losses.dmd import DistributionMatchingLoss
from hypersd_app.training.distillation.losses.reward import FeedbackLoss


@dataclass(frozen=True, kw_only=True)
class Method:
    """`stages` lists (segments, share of the steps), `end` where jumps end (see `Segments.draw`), `losses` are summed.

    `eta` is the stochasticity of the method's own sampler, as in `sample_tcd`: at 1 each step predicts clean data and adds
    noise up to the next timestep, as LCM does; at 0 it follows the trajectory.
    """

    name: str
    title: str
    stages: tuple[tuple[int, float], ...]
    end: str
    losses: Callable[[Context], list[Loss]]
    eta: float = ETA[1]  # what the app draws with, and Hyper-SD's authors


# TSCD's number of segments falls from 8 to 1 (Hyper-SD, Algorithm 1). The shares of the steps are our choice: later stages
# carry the prediction further and need longer.
TSCD_STAGES = ((8, 0.1), (4, 0.1), (2, 0.2), (1, 0.6))

METHODS: Mapping[str, Method] = {
    row.name: row
    for row in (
        # Luo et al., "Latent Consistency Models", 2023: training and sampling always jump to clean data.
        Method(
            name="lcm",
            title="LCM",
            stages=((1, 1.0),),
            end="clean",
            losses=lambda context: [ConsistencyLoss(context, adversarial=())],
            eta=1.0,
        ),
        # Zheng et al., "Trajectory Consistency Distillation", 2024: every point jumps to a random later one.
        Method(
            name="tcd",
            title="TCD",
            stages=((1, 1.0),),
            end="random",
            losses=lambda context: [ConsistencyLoss(context, adversarial=())],
            eta=0.3,  # as its authors sample
        ),
        # Wang et al., "Phased Consistency Models", 2024: a fixed number of phases; every point jumps to its phase's edge.
        # With 4 or 8 steps its jumps are the trained ones; with 1 or 2 they cross a phase edge, which is not trained. Its
        # discriminator compares the student's jump with the target's, both re-noised, at the weight of the authors' scripts.
        Method(
            name="pcm",
            title="PCM, 4 phases",
            stages=((4, 1.0),),
            end="edge",
            losses=lambda context: [ConsistencyLoss(context, adversarial=(0.1,), real="target")],
            eta=0.0,
        ),
        # Ren et al., "Hyper-SD", 2024: trajectory segmented consistency distillation, then its two additions, then all.
        Method(name="tscd", title="TSCD", stages=TSCD_STAGES, end="random", losses=lambda context: [ConsistencyLoss(context)]),
        Method(
            name="tscd-feedback",
            title="TSCD + feedback",
            stages=TSCD_STAGES,
            end="random",
            losses=lambda context: [ConsistencyLoss(context), FeedbackLoss(context)],
        ),
        Method(
            name="tscd-dmd",
            title="TSCD + DMD",
            stages=TSCD_STAGES,
            end="random",
            losses=lambda context: [ConsistencyLoss(context), DistributionMatchingLoss(context)],
        ),
        Method(
            name="hyper-sd",
            title="TSCD + DMD + feedback",
            stages=TSCD_STAGES,
            end="random",
            losses=lambda context: [ConsistencyLoss(context), DistributionMatchingLoss(context), FeedbackLoss(context)],
        ),
        # Hyper-SD's one-step enhancement without the consistency loss: what trains the dedicated one-step UNet.
        Method(
            name="one-step",
            title="DMD + feedback",
            stages=((1, 1.0),),
            end="random",
            losses=lambda context: [DistributionMatchingLoss(context), FeedbackLoss(context)],
        ),
        Method(
            name="feedback",
            title="feedback alone",
            stages=((1, 1.0),),
            end="random",
            losses=lambda context: [FeedbackLoss(context)],
        ),
        # Yin et al., "Improved Distribution Matching Distillation" (DMD2), 2024: scores along the student's own way to clean
        # data and noise again, and a discriminator on real data; no pairs.
        Method(
            name="dmd2",
            title="DMD2",
            stages=((1, 1.0),),
            end="random",
            losses=lambda context: [DistributionMatchingLoss(context, path="clean", pairs=False)],
            eta=1.0,
        ),
        # Luo et al., "Learning Few-Step Diffusion Models by Trajectory Distribution Matching", 2025: scores between the steps
        # of the student's deterministic way, each at the noise levels of its own step.
        Method(
            name="tdm",
            title="TDM",
            stages=((1, 1.0),),
            end="random",
            losses=lambda context: [DistributionMatchingLoss(context, path="trajectory", pairs=False)],
            eta=0.0,
        ),
    )
}
