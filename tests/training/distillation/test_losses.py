"""Every loss against numbers worked out by hand or by finite differences."""

import math

import pytest
import torch

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.diffusion.segments import Segments
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.random_streams import RandomStream, part_rows
from hypersd_app.training.distillation.losses.adversarial import Heads, discriminator_loss, student_loss
from hypersd_app.training.distillation.losses.consistency_math import consistency_pair, mean_square, perturbed_noise, pseudo_huber
from hypersd_app.training.distillation.losses.dmd_math import denoising_loss, matching_gradient, matching_loss
from hypersd_app.training.distillation.losses.reward_math import hinge, last_step_x0, structure_loss
from tests.diffusion.test_segments import stable_diffusion_scheduler

SCHEDULES = {
    "v": NoiseSchedule.from_scheduler(new_scheduler()),
    "eps": NoiseSchedule.from_scheduler(stable_diffusion_scheduler()),
}
V = SCHEDULES["v"]


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def draw_times(segments, count, end, seed=4):
    draws = RandomStream.of(0, seed, "times", count)
    return segments.draw(draws.stratified(), draws.uniform(), end)


# distances


def test_distances_by_hand():
    a, b = torch.zeros(1, 4), torch.full((1, 4), 2.0)
    assert mean_square(a, b).item() == pytest.approx(4.0)
    assert pseudo_huber(a, b).item() == pytest.approx(math.sqrt(4 + 0.00054**2) - 0.00054)
    assert pseudo_huber(a, a).item() == 0
    # Song and Dhariwal's value over sqrt(d), c = 0.00054 sqrt(d).
    x, c = rand(1, 3, 5, 5), 0.00054 * math.sqrt(75)
    theirs = (x.square().sum() + c * c).sqrt() - c
    assert pseudo_huber(x, torch.zeros_like(x)).item() == pytest.approx(theirs.item() / math.sqrt(75), rel=1e-5)


# consistency


def knows_the_data(x0, schedule):
    """The perfect network of a data set with one point a row."""

    def predict(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t).clamp_min(1e-6)
        return schedule.prediction(x0, (x - alpha * x0) / sigma, t)

    return predict


@pytest.mark.parametrize("kind", list(SCHEDULES))
@pytest.mark.parametrize("end", ["random", "edge", "clean"])
def test_a_perfect_student_agrees_with_its_target(kind, end):
    schedule, x0 = SCHEDULES[kind], rand(64, 2, 3, 3, seed=3)
    model = knows_the_data(x0, schedule)
    times = draw_times(Segments(1000, 4, 20), 64, end)
    reached, goal = consistency_pair(model, model, model, schedule.add_noise(x0, rand(64, 2, 3, 3), times[0]), times, schedule)
    assert mean_square(reached, goal).max().item() < 1e-4


def test_the_pair_by_hand():
    """t = 999, t_{n-1} = 979, t_end = 499, with networks that predict constants."""
    x = torch.full((1, 1, 1, 1), 0.5)
    t, previous, end = (torch.tensor([value]) for value in (999, 979, 499))
    reached, goal = consistency_pair(
        lambda x, t: torch.full_like(x, 0.3), lambda x, t: torch.full_like(x, -0.2), lambda x, t: torch.full_like(x, 0.1), x,
        (t, previous, end), V,
    )  # fmt: skip

    def jump(x, v, t, s):
        a, b = math.sqrt(V.alphas_cumprod[t]), math.sqrt(1 - V.alphas_cumprod[t])
        x0, eps = a * x - b * v, b * x + a * v
        return math.sqrt(V.alphas_cumprod[s]) * x0 + math.sqrt(1 - V.alphas_cumprod[s]) * eps

    assert reached.item() == pytest.approx(jump(0.5, 0.3, 999, 499), abs=1e-5)
    assert goal.item() == pytest.approx(jump(jump(0.5, 0.1, 999, 979), -0.2, 979, 499), abs=1e-5)


def test_where_the_target_is_the_end_no_network_is_asked():
    x, t, edge = rand(2, 1, 2, 2), torch.tensor([139, 139]), torch.tensor([124, 124])
    broken = lambda x, t: torch.full_like(x, float("nan"))  # noqa: E731
    _, goal = consistency_pair(lambda x, t: x, broken, lambda x, t: 0 * x, x, (t, edge, edge), V)
    assert torch.isfinite(goal).all()


@pytest.mark.parametrize("kind", list(SCHEDULES))
@pytest.mark.parametrize("end", ["random", "edge", "clean"])
def test_the_gradient_is_that_of_the_student_alone(kind, end):
    schedule, x0 = SCHEDULES[kind], rand(8, 2, 3, 3, seed=3)
    times = draw_times(Segments(1000, 2, 20), 8, end)
    x_t = schedule.add_noise(x0, rand(8, 2, 3, 3, seed=5), times[0])

    def network(shift):
        return lambda x, t: torch.sin(x + shift) + 0.1

    def loss(student_shift, target_shift):
        pair = consistency_pair(network(student_shift), network(target_shift), network(0.2), x_t, times, schedule)
        return pseudo_huber(*pair).mean()

    shift = torch.tensor(0.4, requires_grad=True)
    loss(shift, shift).backward()
    step = 1e-3
    held = (loss(0.4 + step, torch.tensor(0.4)) - loss(0.4 - step, torch.tensor(0.4))) / (2 * step)
    both = (loss(0.4 + step, 0.4 + step) - loss(0.4 - step, 0.4 - step)) / (2 * step)
    assert shift.grad.item() == pytest.approx(held.item(), rel=2e-2)
    assert abs(both.item() - held.item()) > 0.1 * abs(held.item()), "the test could not tell if the target had a gradient"


def test_offset_noise_keeps_the_variance_and_moves_channels_together():
    eps, offset = rand(4000, 2, 3, 3), rand(4000, 2, 1, 1, seed=1)
    noisy = perturbed_noise(eps, offset, 0.5)
    assert noisy.var().item() == pytest.approx(1, abs=0.02)
    expected = (0.25 + 1 / 9) / 1.25  # the constant's part and what nine independent values leave in their mean
    assert noisy.mean((2, 3)).var().item() == pytest.approx(expected, rel=0.06)
    assert perturbed_noise(eps, offset, 0.0) is eps


# adversarial


def test_hinge_losses_by_hand():
    real, made = [torch.tensor([[[[0.5, 2.0]]]])], [torch.tensor([[[[-0.5, 0.25]]]])]
    assert discriminator_loss(real, made).item() == pytest.approx((0.5 + 0) / 2 + (0.5 + 1.25) / 2)
    several = [torch.tensor([[[[1.0, 3.0]]], [[[0.0, 0.0]]]]), torch.tensor([[[[4.0]]], [[[-2.0]]]])]
    assert student_loss(several).tolist() == pytest.approx([-(2 + 4) / 2, -(0 - 2) / 2])


def test_the_gradient_through_the_heads_by_finite_differences():
    torch.manual_seed(0)
    heads = Heads([4]).double()
    features, direction = rand(2, 4, 3, 3).double().requires_grad_(), rand(2, 4, 3, 3, seed=1).double()
    student_loss(heads([features])).mean().backward()
    step = 3e-3
    with torch.no_grad():
        higher, lower = (student_loss(heads([features + sign * step * direction])).mean() for sign in (1, -1))
    assert (features.grad * direction).sum().item() == pytest.approx(((higher - lower) / (2 * step)).item(), rel=2e-3)


# score distillation


def gaussian(mean, schedule):
    """The perfect network of data that is normal around `mean` with variance 1: x_t has variance 1 too."""

    def predict(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        x0 = mean + alpha * (x - alpha * mean)
        return schedule.prediction(x0, (x - alpha * x0) / sigma, t)

    return predict


@pytest.mark.parametrize("kind", list(SCHEDULES))
def test_matching_leads_from_the_student_s_gaussian_to_the_teacher_s(kind):
    """Both x0 predictions differ by sigma^2 (mean_fake - mean_real): equation 7 in closed form."""
    schedule, t = SCHEDULES[kind], torch.tensor([100, 400, 700])
    x0 = rand(3, 2, 4, 4) + 1.5
    eps = rand(3, 2, 4, 4, seed=1)
    found = matching_gradient(gaussian(0.25, schedule), gaussian(1.5, schedule), x0, eps, t, schedule)
    x_t, alpha = schedule.add_noise(x0, eps, t), schedule.alpha(t)
    x0_real = 0.25 + alpha * (x_t - alpha * 0.25)
    scale = (x0 - x0_real).abs().mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, (schedule.sigma(t).square() * (1.5 - 0.25) / scale).expand_as(found), atol=2e-3, rtol=2e-3)
    assert (found > 0).all(), "against the gradient means towards the teacher's mean"


def test_the_matching_loss_has_the_gradient_it_is_given():
    x0, gradient = rand(2, 3, 2, 2).requires_grad_(), rand(2, 3, 2, 2, seed=1)
    losses = matching_loss(x0, gradient)
    assert losses.tolist() == pytest.approx((0.5 * gradient.square().mean((1, 2, 3))).tolist())
    losses.sum().backward()
    torch.testing.assert_close(x0.grad, gradient / 12)


@pytest.mark.parametrize("kind", list(SCHEDULES))
def test_the_fake_score_s_loss(kind):
    schedule, x0, eps, t = SCHEDULES[kind], rand(2, 1, 2, 2), rand(2, 1, 2, 2, seed=1), torch.tensor([300, 600])
    assert denoising_loss(knows_the_data(x0, schedule), x0, eps, t, schedule).max().item() < 1e-4
    zero = denoising_loss(lambda x, t: torch.zeros_like(x), x0, eps, t, schedule)
    torch.testing.assert_close(zero, schedule.prediction(x0, eps, t).square().mean((1, 2, 3)))


# feedback


def test_the_hinge_by_hand():
    assert hinge(torch.tensor([0.2, 0.9, 1.4]), 0.9).tolist() == pytest.approx([0.7, 0, 0])


def test_only_the_last_of_several_steps_has_a_gradient():
    first, last = torch.tensor(0.3, requires_grad=True), torch.tensor(-0.2, requires_grad=True)
    noise = rand(2, 1, 2, 2)

    def model(x, t):
        return torch.where(t.view(-1, 1, 1, 1) == 999, first, last) * torch.ones_like(x)

    x0 = last_step_x0(model, noise, [999, 499], V)
    x_499 = V.jump(torch.full_like(noise, 0.3), noise, torch.full((2,), 999), torch.full((2,), 499))
    t = torch.full((2,), 499)
    torch.testing.assert_close(x0, V.alpha(t) * x_499 - V.sigma(t) * -0.2)
    x0.sum().backward()
    assert first.grad is None or first.grad.item() == 0
    assert last.grad.item() == pytest.approx(-8 * V.sigma(t)[0].item(), rel=1e-4)


def test_structure_by_hand():
    real, made = torch.tensor([[[[20.0, -20.0]]]]), torch.tensor([[[[0.0, 2.0]]]]).requires_grad_()
    loss = structure_loss(made, real)
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2, rel=1e-5)
    loss.sum().backward()
    # d/dz of binary cross entropy is sigmoid(z) - target.
    expected = [(0.5 - 1) / 2, (1 / (1 + math.exp(-2)) - 0) / 2]
    assert made.grad.flatten().tolist() == pytest.approx(expected, rel=1e-4)


# draws


def test_draws_do_not_depend_on_how_a_batch_is_spread():
    like = torch.zeros(8, 2, 3, 3)

    def numbers(rows):
        draws = RandomStream.of(3, 17, "test", 8, rows)
        return [draws.normal(like[rows]), draws.uniform(), draws.stratified()]

    whole = numbers(slice(None))
    parts = [numbers(part_rows(8, part, 4)) for part in range(4)]
    for place, expected in enumerate(whole):
        assert torch.equal(torch.cat([part[place] for part in parts]), expected)
    assert not torch.equal(RandomStream.of(3, 17, "other", 8).normal(like), whole[0])
    assert not torch.equal(RandomStream.of(3, 18, "test", 8).normal(like), whole[0])
    assert not torch.equal(RandomStream.of(4, 17, "test", 8).normal(like), whole[0])
    with pytest.raises(AssertionError, match="equal parts"):
        part_rows(7, 0, 2)
