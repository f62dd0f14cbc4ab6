"""`python -m hypersd_app bench card`: all that is to be known of a graphics card, in less than eight minutes.

For SD1.5 and SDXL with random weights, compiled and not: milliseconds by part, images per second by batch, peak memory, the time
of a style switch, and diffusers' own pipeline in the same run, on the same card, in the same precision.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hypersd_app.bench.engine import bench_request, measure, measure_reference
from hypersd_app.bench.models import RandomLoader
from hypersd_app.catalog.lora.layers import parameter_name
from hypersd_app.engine.backends.compiled import BATCHES
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.lora.changes import LowRank
from hypersd_app.engine.loading.lora.patch import StylePatch
from hypersd_app.engine.memory.device import choose_hardware
from hypersd_app.requests import GenerationRequest
from hypersd_app.settings import Settings
from hypersd_app.system import peak_bytes, reset_peak
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

SECONDS = 450.0
MODELS = ("sd15", "sdxl")
RANK = 8  # of the style that is switched
MOST_BATCH = 4


class Checks:
    """Runs checks one after another while there is time; one that fails costs no other."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.found: dict[str, Any] = {}

    def run(self, name: str, check: Callable[[], dict[str, Any]]) -> None:
        """Keep what `check` finds, or why it found nothing."""
        if time.monotonic() >= self._until:
            self.found[name] = {"left out": "no time left"}
            return
        try:
            self.found[name] = check()
        except Exception as error:  # a card may fail in any way, and what else it can do is still to be told
            logger.exception("%s failed", name)
            self.found[name] = {"error": f"{type(error).__name__}: {error}"}


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench card`."""
    parser.add_argument("what", choices=("card",))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="nothing is begun after that")
    parser.add_argument("--json", type=Path, help="write the figures here too")


def run_card(args: argparse.Namespace, settings: Settings) -> int:
    """Measure and print; returns 1 if anything failed."""
    checks = Checks(args.seconds)
    for name in args.models:
        checks.run(name, partial(measured, name, settings, args.repeats))
        if choose_hardware(settings).device == "cuda":
            fast = replace(settings, compile=True)
            checks.run(f"{name} compiled", partial(measured, name, fast, args.repeats))
    told = {"card": card_name(settings), "torch": torch.__version__, "models": checks.found}
    text = json.dumps(told, indent=2)
    sys.stdout.write(f"{text}\n")
    if args.json is not None:
        args.json.write_text(text, encoding="utf-8")
    return int(any("error" in row for row in checks.found.values()))


def card_name(settings: Settings) -> str:
    """The card, or what else draws."""
    device = choose_hardware(settings).device
    return torch.cuda.get_device_name() if device == "cuda" else device


def measured(name: str, settings: Settings, repeats: int) -> dict[str, Any]:
    """All figures of one model."""
    hub = Hub(offline=True)
    loader = RandomLoader(hub, torch.float32, name)
    engine = Engine(settings, hub=hub, loader=loader)
    device = engine.hardware.device
    request = bench_request(engine, engine.catalog.model(name), False, "")
    _reset_peak(device)
    row = asdict(measure(engine, request, repeats))
    found = {
        "backend": row["backend"],
        "milliseconds": row["milliseconds"],
        "images_per_second": {str(size): rate(engine, request, size, repeats) for size in BATCHES if size <= MOST_BATCH},
        "peak_memory": _peak(device),
    }
    plain = RandomLoader(hub, engine.hardware.dtype, name)
    found["style_switch_milliseconds"] = style_switch(plain.unet(engine.catalog.model(name), _recipe(engine, request)), device)
    engine.close()
    found["plain_milliseconds"] = measure_reference(plain, engine, request, max(1, repeats // 4), device)
    return found


def _recipe(engine: Engine, request: GenerationRequest) -> Any:
    return next(row for row in engine.catalog.model(request.model).recipes if row.name == request.recipe)


def rate(engine: Engine, request: GenerationRequest, size: int, repeats: int) -> float:
    """Images per second in batches of `size`."""
    batch = [replace(request, seed=seed) for seed in range(size)]
    engine.generate_batch(batch)
    started = time.perf_counter()
    for _ in range(repeats):
        engine.generate_batch(batch)
    return size * repeats / (time.perf_counter() - started)


def style_switch(unet: nn.Module, device: str) -> float:
    """Median milliseconds to put a LoRA of rank 8 over all linear layers onto a UNet and take it off again."""
    unet = unet.to(device).requires_grad_(False)
    patch = StylePatch(unet)
    changes = {
        parameter_name(name, "weight"): LowRank(
            torch.randn(RANK, layer.in_features) * 0.01, torch.randn(layer.out_features, RANK) * 0.01, 1.0
        )
        for name, layer in unet.named_modules()
        if isinstance(layer, nn.Linear)
    }
    spent = []
    for turn in range(3):
        _wait(device)
        started = time.perf_counter()
        patch.set(turn, [(changes, 1.0)])
        patch.clear()
        _wait(device)
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak()


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes()
