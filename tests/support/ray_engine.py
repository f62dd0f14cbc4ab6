"""Engines for replicas, and the processes of a cluster: what the tests of Ray Serve need besides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from hypersd_app.settings import Settings
from tests.support.faulty_engine import FaultyEngine

T = TypeVar("T")
LISTENING = "0A"


def faulty(_settings: Settings) -> FaultyEngine:
    """For `open_ray_engine`."""
    return FaultyEngine()


def begun(function: Callable[..., T], *arguments: object) -> Future[T]:
    """`function` on a thread that nobody waits for when the time is up."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def children(pid: int) -> set[int]:
    """Processes that `pid` started, and those that they did."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found: set[int] = set()
    wave = {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave} - found
        found |= wave
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_ports(pid: int) -> Iterator[str]:
    """Addresses, as the kernel writes them, on which a process listens beyond loopback."""
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            _, address, _, state, *rest = line.split()
            if state == LISTENING and rest[5] in own and not address.split(":")[0].endswith(("0100007F", "01000000")):
                yield address
