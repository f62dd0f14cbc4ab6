"""`bench training`: images per second of a training step, with the allocator as glibc sets it and as training sets it.

Two processes hold the same network, one for each setting, and take turns: drift of the machine falls on both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from hypersd_app.errors import HyperSDError
from hypersd_app.settings import Settings
from hypersd_app.system import keep_freed_memory

SETTINGS = ("default", "kept")  # freed memory returned to the system, or kept for the next step
NETWORKS = ("unet", "autoencoder")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench training`."""
    parser.add_argument("training", choices=("training",))
    parser.add_argument("--network", choices=NETWORKS, default="unet", help="which of Pocket's networks is trained (default: unet)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each process (default: 5)")
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn (default: 2)")
    parser.add_argument("--batch", type=int, default=32, help="images of a step (default: 32)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    parser.add_argument("--json", type=Path, help="also write the figures here")


def run_training_bench(args: argparse.Namespace, _settings: Settings) -> int:
    """Print images per second of both settings and their ratio; returns the exit status."""
    found = measure(args.network, args.rounds, args.steps, args.batch, args.threads)
    print(report(found))  # noqa: T201
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def measure(network: str, rounds: int, steps: int, batch: int, threads: int) -> dict[str, list[float]]:
    """Images per second by setting, one figure per turn."""
    workers = {setting: _start(setting, network, batch, threads) for setting in SETTINGS}
    found: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    try:
        for worker in workers.values():
            _turn(worker, 1)  # the first step allocates and fills caches
        for number in range(rounds):
            for setting in SETTINGS if number % 2 == 0 else reversed(SETTINGS):
                found[setting].append(steps * batch / _turn(workers[setting], steps))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()
    return found


def report(found: dict[str, list[float]]) -> str:
    """Medians, and the median of the ratios of neighbouring turns."""
    ratios = [kept / default for default, kept in zip(found["default"], found["kept"], strict=True)]
    figures = ", ".join(f"{setting}: {statistics.median(values):.1f} images/s" for setting, values in found.items())
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    return f"{figures}; ratio {statistics.median(ratios):.2f} ({spread} in {len(ratios)} turns)"


def _start(setting: str, network: str, batch: int, threads: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, setting, network, str(batch), str(threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")


def _turn(worker: subprocess.Popen[str], steps: int) -> float:
    """Seconds of so many steps in a worker. Raises HyperSDError if it is gone."""
    assert worker.stdin is not None and worker.stdout is not None
    try:
        worker.stdin.write(f"{steps}\n")
        worker.stdin.flush()
    except OSError:
        pass  # the line that is missing then says so
    line = worker.stdout.readline()
    if not line:
        raise HyperSDError(f"The training process ended with status {worker.wait()} before it had taken its steps.")
    return float(line)


def serve_turns(step: Callable[[int], None], requests: IO[str], answers: IO[str]) -> None:
    """A worker's loop: for each number of steps that is asked for, the seconds they took."""
    number = 0
    for line in requests:
        began = time.perf_counter()
        for _ in range(int(line)):
            step(number)
            number += 1
        answers.write(f"{time.perf_counter() - began}\n")
        answers.flush()


def training_step(network: str, batch: int) -> Callable[[int], None]:
    """A training step of one of Pocket's networks on random data, as its stage takes it."""
    import torch

    from hypersd_app.training.core.loop import LoopConfig, TrainingState, train_step

    torch.manual_seed(0)
    module, loss, lr = _unet(batch) if network == "unet" else _autoencoder(batch)
    state = TrainingState.new(module, lr=lr, ema_decay=0.999, optimizer="muon")
    config = LoopConfig(steps=10**9)

    def step(number: int) -> None:
        train_step(state, config, lambda _: (loss(number), {}, batch))

    return step


def _unet(batch: int) -> tuple[Any, Callable[[int], Any], float]:
    import torch

    from hypersd_app.diffusion.schedules import NoiseSchedule
    from hypersd_app.models.layout import LATENT_SHAPE
    from hypersd_app.models.pocket import new_scheduler, new_unet
    from hypersd_app.models.shapes import MAX_TOKENS, TEXT_DIMENSION
    from hypersd_app.training.core.device import place
    from hypersd_app.training.pocket.teacher import diffusion_loss, draw_timesteps

    unet, schedule = place(new_unet()), NoiseSchedule.from_scheduler(new_scheduler())

    def loss(number: int) -> Any:
        generator = torch.Generator().manual_seed(number)
        x0 = torch.randn(batch, *LATENT_SHAPE, generator=generator)
        text = torch.randn(batch, MAX_TOKENS, TEXT_DIMENSION, generator=generator)
        t = draw_timesteps(batch, schedule.num_timesteps, 3.0, generator)
        return diffusion_loss(unet, x0, text, t, schedule, generator).mean()

    return unet, loss, 2e-3


def _autoencoder(batch: int) -> tuple[Any, Callable[[int], Any], float]:
    import torch

    from hypersd_app.models.autoencoder import PocketAutoencoder
    from hypersd_app.training.core.device import images_to_device, mixed_precision, place
    from hypersd_app.training.pocket.autoencoder import AutoencoderConfig, Objective

    model, config = place(PocketAutoencoder()), AutoencoderConfig()
    objective = Objective(config)

    def loss(number: int) -> Any:
        generator = torch.Generator().manual_seed(number)
        images = images_to_device(torch.rand(batch, 3, config.crop, config.crop, generator=generator) * 2 - 1)
        with mixed_precision():
            return objective(model, images, generator)

    return model, loss, config.lr


def main(setting: str, network: str, batch: int, threads: int) -> None:
    """A worker: sets its allocator, then takes turns until its input ends."""
    if setting == "kept":
        keep_freed_memory()
    import torch

    if threads:
        torch.set_num_threads(threads)
    serve_turns(training_step(network, batch), sys.stdin, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
