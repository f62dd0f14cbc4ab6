"""A short distillation whose losses are printed, alone or as one of several processes.

Arguments: batch, accumulation, methods; "+sharded" behind a method spreads the frozen network over the processes.
"""

import json
import sys

import torch

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import LoopConfig, train_step
from hypersd_app.training.core.sharding import shard_frozen
from hypersd_app.training.distillation.config import AdversarialConfig, ScoreConfig, StudentConfig
from hypersd_app.training.distillation.context import Context, Resources
from hypersd_app.training.distillation.methods import METHODS
from hypersd_app.training.distillation.networks import AdapterNetworks
from hypersd_app.training.distillation.step import Distiller
from tests.support import tiny_models


class RandomSource:
    """Latents and captions from nowhere."""

    def batch(self, step, total):
        generator = torch.Generator().manual_seed(step)
        return torch.randn(total, 4, 8, 8, generator=generator), [f"thing {number}" for number in range(total)]

    def condition(self, captions, **_more):
        rows = [torch.randn(4, 32, generator=torch.Generator().manual_seed(hash_of(caption))) for caption in captions]
        return Conditioning(torch.stack(rows))

    def decode(self, latents):
        return latents


def hash_of(text):
    """The same in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text))


def run(method, batch, accumulation, steps=3):
    """Losses of all steps, a sum over the weights in the end, and what this process holds of the frozen ones."""
    method, _, sharded = method.partition("+")
    processes = Processes.open("no")
    torch.manual_seed(processes.process_index)  # processes that begin apart must be brought together
    config = StudentConfig(
        method=method, batch=batch, accumulation=accumulation, precision="no", rank=4, guidance_scale=2.0,
        stages=((2, 1.0), (1, 2.0)),
        adversarial=AdversarialConfig(weights=(0.1,)), score=ScoreConfig(weights=(0.5,), pairs=0, fake_rank=2, fake_steps=1),
        loop=LoopConfig(steps=steps, warmup=1),
    )  # fmt: skip
    unet = tiny_models.randomized(tiny_models.small_unet(32), 1)
    processes.broadcast_parameters(unet.parameters())
    networks = AdapterNetworks(unet, config.rank)
    if sharded:
        shard_frozen(unet, processes)
    context = Context(
        config=config, stages=config.stages, end=METHODS[method].end, networks=networks,
        schedule=NoiseSchedule.from_scheduler(new_scheduler()), processes=processes,
        source=RandomSource(), resources=Resources(None, None, None),
    )  # fmt: skip
    distiller = Distiller(context)
    state = distiller.training_state()
    losses = [train_step(state, config.loop, distiller)[1]["loss"] for _ in range(steps)]
    weights = sum(p.double().abs().sum().item() for p in distiller.parameters())
    frozen = [p for name, p in unet.named_parameters() if ".lora_" not in name]
    held = sum(p.to_local().numel() if sharded else p.numel() for p in frozen) / sum(p.numel() for p in frozen)
    return processes, {"losses": losses, "weights": weights, "held": held, "kinds": sorted({type(p.data).__name__ for p in frozen})}


if __name__ == "__main__":
    found = [run(method, int(sys.argv[1]), int(sys.argv[2])) for method in sys.argv[3:]]
    if found[0][0].is_main_process:
        print(json.dumps([result for _, result in found]))
