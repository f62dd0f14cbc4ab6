"""`bench worst`: what one address that does its worst costs another visitor: the page, and the wait for a stroke."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np

from hypersd_app.bench.load.bench import WARM_UP, say
from hypersd_app.bench.load.hostile import PAUSE, attack
from hypersd_app.bench.load.server import RunningServer, own_server
from hypersd_app.bench.load.visitor import Drawer, Tally
from hypersd_app.settings import Settings

MOST = 2.0  # times the quiet time
VISITOR = "203.0.113.9"
NEVER = 30.0  # seconds for a page that did not come
BETWEEN = 1.0  # seconds between two visits of the page


@dataclass(frozen=True)
class Seen:
    """What the other visitor saw. Times are seconds."""

    pages: Sequence[float]
    tally: Tally

    @property
    def page(self) -> float:
        """The median of opening the page."""
        return float(np.median(self.pages))

    @property
    def stroke(self) -> float:
        """The median from a state sent to the image that shows it."""
        return float(np.median(self.tally.waits or [float("inf")]))

    @property
    def late(self) -> float:
        """The 95th percentile of that: what keeps a device to itself shows here first."""
        return float(np.percentile(self.tally.waits or [float("inf")], 95))


@dataclass(frozen=True)
class Worst:
    """Quiet time and the other, compared."""

    quiet: Seen
    hostile: Seen

    @property
    def holds(self) -> bool:
        """The page opens, strokes are answered within twice the quiet time, the late ones too, and none is lost."""
        quiet, seen = self.quiet, self.hostile
        in_time = seen.stroke <= MOST * quiet.stroke and seen.late <= MOST * quiet.late
        return in_time and max(seen.pages) < NEVER and seen.tally.lost == seen.tally.errors == 0

    def __str__(self) -> str:
        quiet, other = self.quiet, self.hostile
        return (
            f"page: {1000 * quiet.page:.0f} ms quiet, {1000 * other.page:.0f} ms (worst {1000 * max(other.pages):.0f}); "
            f"stroke: {1000 * quiet.stroke:.0f} ms quiet, {1000 * other.stroke:.0f} ms, {other.stroke / quiet.stroke:.2f} times; "
            f"p95 {1000 * quiet.late:.0f} and {1000 * other.late:.0f} ms; "
            f"{other.tally.lost} lost, {other.tally.errors} errors of {other.tally.sent}"
        )


def add_worst_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench worst`."""
    parser.add_argument("worst", choices=("worst",))
    parser.add_argument("--seconds", type=float, default=120.0, help="of the attack")
    parser.add_argument("--address", help="a running studio that trusts X-Forwarded-For from here (default: one of its own)")
    parser.add_argument("--json", type=Path, help="also write the figures here")


def run_worst_bench(args: argparse.Namespace, _settings: Settings) -> int:
    """Run and print; 1 if the other visitor was held up. Raises HyperSDError."""
    with contextlib.ExitStack() as stack:
        address = args.address or stack.enter_context(own_server({"HYPERSD_SPARE_CORES": "0"}))
        worst = asyncio.run(measured(address, args.seconds))
    say(str(worst))
    if args.json:
        args.json.write_text(json.dumps(asdict(worst), indent=1), encoding="utf-8")
    return 0 if worst.holds else 1


async def measured(
    address: str, seconds: float, quiet_seconds: float = 0.0, warm_up: float = WARM_UP, pause: float = PAUSE
) -> Worst:
    """The quiet time first, a third as long unless it is said."""
    server = RunningServer(address, VISITOR)
    await server.open()
    await seen(server, warm_up)
    quiet = await seen(server, quiet_seconds or seconds / 3)
    async with attack(address, pause) as told:
        await asyncio.sleep(min(SETTLE, seconds / 4))
        found = Worst(quiet, await seen(server, seconds))
    say(f"the other one was told: {dict(told)}")
    await server.close()
    return found


SETTLE = 2.0  # seconds until all of the attack is under way


async def seen(server: RunningServer, seconds: float) -> Seen:
    """One visitor draws, and opens the page now and then."""
    until = time.perf_counter() + seconds
    pages: list[float] = []
    drawer = Drawer(server, 1, [])
    drawing = asyncio.create_task(drawer.run(until))
    while not pages or time.perf_counter() < until:
        try:
            async with asyncio.timeout(NEVER):
                pages.append(await server.page_seconds())
        except (httpx.HTTPError, TimeoutError):
            pages.append(NEVER)
        await asyncio.sleep(min(BETWEEN, max(0.0, until - time.perf_counter())))
    await drawing
    return Seen(pages, drawer.tally)
