"""Whole methods on a teacher whose trajectories are known in closed form."""

import itertools

import pytest
import torch

from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.diffusion.segments import Segments
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.config import AdversarialConfig, FeedbackConfig, ScoreConfig, StudentConfig
from hypersd_app.training.distillation.context import Batch
from hypersd_app.training.distillation.step import Distiller
from tests.diffusion.test_segments import stable_diffusion_scheduler
from tests.support.toy_models import toy_context, train_toy

V = NoiseSchedule.from_scheduler(new_scheduler())
EPSILON = NoiseSchedule.from_scheduler(stable_diffusion_scheduler())
TOLD = None
PLAIN = AdversarialConfig(weights=(0.0,))


def config(method, steps=300, **changes):
    row = {
        "method": method, "batch": 128, "lr": 3e-3, "skip": 50, "guidance_scale": 1.0, "precision": "no", "caption_drop": 0.0,
        "target_decay": 0.0, "offset_noise": 0.0, "mse_weights": (1.0,),
        "adversarial": PLAIN, "loop": LoopConfig(steps=steps, warmup=10, cooldown=steps // 2),
    }  # fmt: skip
    return StudentConfig(**{**row, **changes})


def one_step(context, noise):
    """What the student makes of noise in one step."""
    t = torch.full((len(noise),), 999)
    with torch.no_grad():
        return context.schedule.split(context.networks.student(noise, t, TOLD), noise, t)[0]


def rms(values):
    return values.square().mean().sqrt().item()


def mean_abs(values):
    return values.abs().mean().item()


NOISE = torch.randn(2000, 1, 1, 1, generator=torch.Generator().manual_seed(123))


def test_the_known_ode_is_the_teacher_s():
    """Ten times finer steps bring DDIM ten times closer to where quantiles say that trajectories end."""
    context = toy_context(config("tscd"), V)
    exact = context.source.mixture.endpoint(NOISE, torch.full((2000,), 999))
    errors = []
    for skip in (50, 5):
        points = Segments(1000, 1, skip).walk(999)
        found = sample_ddim(context.bind(context.networks.teacher, TOLD), NOISE, points[:-1], V, last=points[-1])
        errors.append(mean_abs(found - exact))
    assert errors[1] < 0.2 * errors[0] and errors[1] < 0.01


def derived_endpoint(context, noise, skip):
    """The one-step image of the student that TSCD's squared error is minimal for, worked out along each trajectory.

    The network does not see t_end, so one v has to serve all ends s. With k_s = a_s a_t + b_s b_t and c_s = b_s a_t - a_s b_t
    a jump is k_s x + c_s v, and the best v_n is E[c_s (g_s - k_s x_n)] / E[c_s^2] over the ends s that are drawn, where
    g_s is the jump from x_{n-1} with v_{n-1}.
    """
    points, teacher = Segments(1000, 1, skip).walk(999), context.bind(context.networks.teacher, TOLD)
    xs = [noise]
    for t, s in itertools.pairwise(points):
        xs.append(sample_ddim(teacher, xs[-1], [t], V, last=s))
    a, b = (
        torch.cat([table, table.new_tensor([last])]).sqrt() for table, last in ((V.alphas_cumprod, 1), (1 - V.alphas_cumprod, 0))
    )
    x, v = xs[-1].double().flatten(), torch.zeros(len(noise), dtype=torch.float64)
    for n in range(len(points) - 2, -1, -1):
        t, previous, later = points[n], points[n + 1], x
        ends = torch.arange(-1, previous + 1)
        k, c = a[ends] * a[previous] + b[ends] * b[previous], b[ends] * a[previous] - a[ends] * b[previous]
        goals = k * later[:, None] + c * v[:, None]
        goals[:, -1] = later  # t_end = t_{n-1}: the jump is the identity
        k, c, x = a[ends] * a[t] + b[ends] * b[t], b[ends] * a[t] - a[ends] * b[t], xs[n].double().flatten()
        v = (c * (goals - k * x[:, None])).mean(1) / c.square().mean()
    return (a[999] * x - b[999] * v).float().view(-1, 1, 1, 1)


def test_tscd_s_student_ends_where_its_loss_is_minimal():
    """A student blind to t_end cannot reach every end at once: how far it stays off clean data is derived, and met."""
    context = toy_context(config("tscd", steps=500, distance="mse", skip=100, lr=1e-2, batch=256), V)
    exact = context.source.mixture.endpoint(NOISE, torch.full((2000,), 999))
    untrained, derived = one_step(context, NOISE), derived_endpoint(context, NOISE, 100)
    train_toy(Distiller(context))
    reached = one_step(context, NOISE)
    assert mean_abs(derived - exact) < 0.7 * mean_abs(untrained - exact), "the derivation promises something"
    assert mean_abs(reached - derived) < 0.25 * mean_abs(untrained - derived)
    assert mean_abs(reached - exact) == pytest.approx(mean_abs(derived - exact), rel=0.15)


def test_with_all_ends_at_the_edge_the_error_is_bounded_by_the_losses():
    """|f(x_T) - x*| <= sum over the grid of |f(x_n) - f(x_{n-1})| + what the teacher's own steps miss (triangle inequality).

    The first part is what the loss measures, the second is a property of the grid.
    """
    context = toy_context(config("tscd", steps=500, end="edge", skip=100, lr=1e-2, batch=256), V)
    exact = context.source.mixture.endpoint(NOISE, torch.full((2000,), 999))
    untrained = mean_abs(one_step(context, NOISE) - exact)
    train_toy(Distiller(context))
    teacher, student = (context.bind(role, TOLD) for role in (context.networks.teacher, context.networks.student))
    x, residual, clean = NOISE, 0.0, torch.full((2000,), -1)
    with torch.no_grad():
        for t, s in itertools.pairwise(Segments(1000, 1, 100).walk(999)):
            times, later = torch.full((2000,), t), torch.full((2000,), max(s, 0))
            there = V.jump(student(x, times), x, times, clean)
            x = sample_ddim(teacher, x, [t], V, last=s)
            residual += mean_abs(there - (x if s < 0 else V.jump(student(x, later), x, later, clean)))
    discretization = mean_abs(x - exact)
    error = mean_abs(one_step(context, NOISE) - exact)
    assert error <= residual + discretization + 1e-4
    assert error < 0.25 * untrained


def distance_to_the_flow(distiller):
    """How far the student's jumps end from where trajectories go: what every method's loss stands in for."""
    context, step = distiller.context, distiller.context.config.loop.steps - 1
    x0, draws = context.source.batch(step, 2000)[0], RandomStream.of(0, step, "flow", 2000)
    segments = Segments(1000, context.segments(step), context.config.skip)
    t, _, end = segments.draw(draws.stratified(), draws.uniform(), context.end)
    x_t = context.schedule.add_noise(x0, draws.normal(x0), t)
    with torch.no_grad():
        reached = context.schedule.jump(context.networks.student(x_t, t, TOLD), x_t, t, end)
    return mean_abs(reached - context.source.mixture.flow(x_t, t, end))


@pytest.mark.parametrize(
    ("method", "schedule", "changes"),
    [
        ("lcm", V, {}), ("tcd", V, {}), ("pcm", V, {}), ("tscd", V, {}), ("tscd", EPSILON, {}), ("lcm", EPSILON, {}),
        ("tscd", V, {"target_decay": 0.9}), ("tscd", V, {"distance": "mse"}),
    ],
    ids=["lcm", "tcd", "pcm", "tscd", "tscd-epsilon", "lcm-epsilon", "tscd-ema", "tscd-mse"],
)  # fmt: skip
def test_each_method_s_loss_falls(method, schedule, changes):
    distiller = Distiller(toy_context(config(method, steps=200, skip=100, lr=1e-2, **changes), schedule))
    before = distance_to_the_flow(distiller)
    losses = train_toy(distiller)
    after = distance_to_the_flow(distiller)
    assert after < 0.8 * before
    assert {row["segments"] for row in losses} == {float(segments) for segments, _ in distiller.context.stages}


def wasserstein(a, b):
    """Of two equally large samples on a line."""
    return mean_abs(a.flatten().sort().values - b.flatten().sort().values)


def test_score_distillation_brings_the_one_step_images_to_the_data():
    score = ScoreConfig(weights=(1.0,), fake_lr=3e-3, pairs=0)
    context = toy_context(config("tscd-dmd", steps=250, stages=((1, 1.0),), score=score, lr=1e-3), V)
    data = context.source.mixture.sample(2000, torch.Generator().manual_seed(5))
    before = wasserstein(one_step(context, NOISE), data)
    # Without consistency: it must be the scores that do it.
    distiller = Distiller(context)
    distiller.losses = [loss for loss in distiller.losses if hasattr(loss, "pairs")]
    train_toy(distiller)
    assert wasserstein(one_step(context, NOISE), data) < 0.35 * before


def test_pairs_hold_the_one_step_image_to_the_teacher_s():
    score = ScoreConfig(weights=(1.0,), fake_lr=3e-3, pairs=64, regression=5.0)
    context = toy_context(config("tscd-dmd", steps=150, stages=((1, 1.0),), score=score), V)
    exact = context.source.mixture.endpoint(NOISE, torch.full((2000,), 999))
    before = mean_abs(one_step(context, NOISE) - exact)
    rows = train_toy(Distiller(context))
    assert mean_abs(one_step(context, NOISE) - exact) < 0.5 * before
    assert rows[-1]["regression"] < 0.3 * rows[0]["regression"]


def test_another_input_timestep_is_told_to_the_network():
    score = ScoreConfig(weights=(1.0,), timestep=800, pairs=0)
    context = toy_context(config("tscd-dmd", steps=2, stages=((1, 1.0),), score=score), V)
    asked, student = [], context.networks.student
    context.networks.student = lambda x, t, c: (asked.append(t.unique().tolist()), student(x, t, c))[1]
    distiller = Distiller(context)
    distiller.losses = distiller.losses[1:]
    distiller(0)
    assert asked == [[800]]


def test_feedback_raises_the_reward():
    feedback = FeedbackConfig(weights=(1.0,), rewards=(("any", 1.0),), structure=0.5, every=1, steps=(1, 2))
    context = toy_context(config("tscd-feedback", steps=120, stages=((1, 1.0),), feedback=feedback), V)
    before = mean_abs(one_step(context, NOISE) - 1)
    rows = train_toy(Distiller(context))
    assert mean_abs(one_step(context, NOISE) - 1) < 0.7 * before
    assert "structure" in rows[0] and rows[-1]["reward_any"] > rows[0]["reward_any"]


def test_everything_at_once_runs_when_it_should():
    score = ScoreConfig(weights=(0.0, 0.5), pairs=16)
    feedback = FeedbackConfig(weights=(0.0, 0.05), rewards=(("any", 1.0),), every=3)
    context = toy_context(
        config("hyper-sd", steps=60, stages=((2, 1.0), (1, 1.0)), score=score, feedback=feedback, target_decay=0.9), V
    )
    rows = train_toy(Distiller(context))
    assert [("matching" in row, "reward_any" in row) for row in rows[:3]] == [(False, False)] * 3
    assert [("matching" in row, "reward_any" in row) for row in rows[30:33]] == [(True, True), (True, False), (True, False)]
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in rows)


def test_everything_at_once_learns():
    """Consistency, score and a reward that pulls gently: images of one step come closer to the data, in fewer and more steps."""
    score = ScoreConfig(weights=(0.0, 0.5), fake_lr=3e-3, pairs=64)
    feedback = FeedbackConfig(weights=(0.0, 0.01), rewards=(("any", 1.0),), structure=0.0, every=2, thin=4)
    stages, heads = ((2, 1.0), (1, 2.0)), AdversarialConfig(weights=(0.0, 0.05))
    context = toy_context(
        config("hyper-sd", steps=240, stages=stages, score=score, feedback=feedback, adversarial=heads, skip=100, lr=5e-3), V
    )
    data = context.source.mixture.sample(2000, torch.Generator().manual_seed(5))
    distiller = Distiller(context)
    before, flow = wasserstein(one_step(context, NOISE), data), distance_to_the_flow(distiller)
    rows = train_toy(distiller)
    assert {"matching", "regression", "adversarial", "reward_any"} <= rows[-2].keys()
    assert wasserstein(one_step(context, NOISE), data) < 0.4 * before
    assert distance_to_the_flow(distiller) < 0.8 * flow


def test_offset_noise_reaches_the_students_inputs():
    """Constant over an image. The last to ask is the student, after its target."""
    seen = {}
    for strength in (0.0, 0.5):
        context = toy_context(config("tscd", steps=1, offset_noise=strength, stages=((1, 1.0),)), V)
        student = context.networks.student
        context.networks.student = lambda x, t, c, s=strength, run=student: (seen.update({s: x}), run(x, t, c))[1]
        Distiller(context)(0)
    draws = RandomStream.of(0, 0, "consistency", 128)
    x0 = toy_context(config("tscd"), V).source.batch(0, 128)[0]
    t = Segments(1000, 1, 50).draw(draws.stratified(), draws.uniform(), "random")[0]
    eps, offset = draws.normal(x0), draws.normal(x0)
    torch.testing.assert_close(seen[0.0], V.add_noise(x0, eps, t))
    torch.testing.assert_close(seen[0.5], V.add_noise(x0, (eps + 0.5 * offset) / 1.25**0.5, t))


def test_a_thinned_batch_does_not_depend_on_how_it_is_spread():
    def batch(rows):
        x0 = torch.arange(24.0).view(24, 1, 1, 1)[rows]
        return Batch(
            x0=x0,
            conditioning=Conditioning(x0.view(-1, 1, 1)),
            captions=[str(int(x)) for x in x0.flatten()],
            seed=0,
            total=24,
            rows=rows,
        ).thinned(3)

    whole, parts = batch(slice(None)), [batch(slice(0, 12)), batch(slice(12, 24))]
    assert whole.captions == [str(number) for number in range(0, 24, 3)] == [text for part in parts for text in part.captions]
    assert torch.equal(whole.conditioning.embeddings.flatten(), whole.x0.flatten())
    spread = torch.cat([part.stream(5, "score").normal(part.x0) for part in parts])
    assert torch.equal(whole.stream(5, "score").normal(whole.x0), spread)
