"""A one-dimensional teacher whose every trajectory is known, and a source of its data."""

import math

import torch
from torch import nn

from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import train_step
from hypersd_app.training.distillation.context import Context, Pairs, Resources
from hypersd_app.training.distillation.methods import METHODS
from hypersd_app.training.distillation.networks import WholeNetworks


class Mixture:
    """A mixture of two normal distributions."""

    means, weights, deviation = torch.tensor([-1.1, 0.9]), torch.tensor([0.4, 0.6]), 0.3

    def __init__(self, schedule):
        self.schedule = schedule

    def sample(self, count, generator):
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return (self.means[which] + self.deviation * torch.randn(count, generator=generator)).view(-1, 1, 1, 1)

    def spread(self, t):
        """alpha and the deviation of one part at time t, (B,)."""
        alpha, sigma = self.schedule.alpha(t).flatten(), self.schedule.sigma(t).flatten()
        return alpha, (alpha**2 * self.deviation**2 + sigma**2).sqrt()

    def expected_x0(self, x, t):
        """E[x0 | x_t], exactly."""
        alpha, spread = self.spread(t)
        x, alpha, spread = x.flatten()[:, None], alpha[:, None], spread[:, None]
        distance = x - alpha * self.means
        part = (self.weights.log() - 0.5 * (distance / spread) ** 2).softmax(1)
        return (part * (self.means + alpha * self.deviation**2 / spread**2 * distance)).sum(1).view(-1, 1, 1, 1)

    def cumulative(self, x, t):
        """P(x_t < x), float64."""
        alpha, spread = (value.double()[:, None] for value in self.spread(t))
        z = (x.double().flatten()[:, None] - alpha * self.means.double()) / spread
        return (self.weights.double() * 0.5 * (1 + torch.erf(z / math.sqrt(2)))).sum(1)

    def flow(self, x, t, s):
        """Where the probability flow from (x, t) is at time s: in one dimension it keeps quantiles."""
        wanted = self.cumulative(x, t)
        low, high = torch.full((len(x),), -6.0, dtype=torch.float64), torch.full((len(x),), 6.0, dtype=torch.float64)
        for _ in range(50):
            middle = (low + high) / 2
            below = self.cumulative(middle, s) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2).float().view(-1, 1, 1, 1)

    def endpoint(self, x, t):
        """Where it ends at clean data."""
        return self.flow(x, t, torch.full((len(x),), -1))


class MixtureTeacher(nn.Module):
    """The mixture's perfect diffusion model."""

    def __init__(self, mixture):
        super().__init__()
        self.mixture = mixture

    def forward(self, x, t, conditioning):
        schedule = self.mixture.schedule
        x0 = self.mixture.expected_x0(x, t)
        return schedule.prediction(x0, (x - schedule.alpha(t) * x0) / schedule.sigma(t), t)

    feature_channels = (4,)

    def features(self, x, t, conditioning):
        """One map of four values: an encoder that heads can tell places on the line by."""
        return [torch.cat([x, torch.tanh(2 * x), x.square(), torch.ones_like(x)], dim=1)]


class Learner(nn.Module):
    """Begins as the teacher: a small network, zero at first, is added to its prediction."""

    def __init__(self, teacher, width=64):
        super().__init__()
        self._teacher = [teacher]  # no submodule: it is not trained
        self.net = nn.Sequential(nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x, t, conditioning):
        u, flat = (t.float() + 1) / 1000, x.flatten()
        waves = [flat, u, flat * u, torch.sin(2 * flat), torch.sin(3 * u), torch.cos(3 * u), torch.sin(9 * u), torch.tanh(4 * flat)]
        correction = self.net(torch.stack(waves, 1))
        return self._teacher[0](x, t, conditioning) + correction.view_as(x)


class MixtureSource:
    """Draws the mixture's data; nothing is told and nothing decoded."""

    def __init__(self, mixture):
        self.mixture = mixture

    def batch(self, step, total):
        return self.mixture.sample(total, torch.Generator().manual_seed(step)), [""] * total

    def condition(self, captions, **_more):
        return Conditioning(torch.zeros(len(captions), 1, 1))

    def decode(self, latents):
        return latents


class CloseToOne:
    """A reward for images near 1."""

    title, enough = "near one", 0.0

    def __call__(self, images, captions):
        return -(images.flatten() - 1).abs()


def toy_context(config, schedule):
    """A context over the mixture for any method."""
    torch.manual_seed(config.seed)
    mixture = Mixture(schedule)
    teacher = MixtureTeacher(mixture)
    networks = WholeNetworks(teacher, student=Learner(teacher), untrained_fake=Learner(teacher), target_decay=config.target_decay)
    noise = torch.randn(64, 1, 1, 1, generator=torch.Generator().manual_seed(9))
    pairs = Pairs(noise, mixture.endpoint(noise, torch.full((64,), schedule.num_timesteps - 1)), [""] * 64)
    resources = Resources(lambda: pairs, lambda name: CloseToOne(), lambda: lambda images: images)
    method = METHODS[config.method]
    return Context(
        config=config, stages=config.stages or method.stages, end=config.end or method.end, networks=networks, schedule=schedule,
        processes=Processes.open("no"), source=MixtureSource(mixture), resources=resources,
    )  # fmt: skip


def train_toy(distiller):
    """The loop without files; the losses of all steps."""
    state, config = distiller.training_state(), distiller.context.config.loop
    losses = []
    while state.step < config.steps:
        losses.append(train_step(state, config, distiller)[1])
    return losses
