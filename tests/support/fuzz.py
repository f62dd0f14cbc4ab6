"""Bad inputs over every door of a studio, with an honest visitor drawing meanwhile: `python -m tests.support.fuzz --count 5000`.

The doors are read from the studio itself, so that a new route or endpoint is tried without being named here.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.scheduling.limits import BoardLimits
from tests.support import sockets
from tests.support.bad_inputs import HEAD, VALUES, as_json, calls, frames, image, images, nested, noise, recipes, values
from tests.support.studio import Served, served

SECONDS = 1.0  # of the processor that a refusal may take
PATIENCE = 60.0
LIMITS = BoardLimits(
    frames_per_second=10_000,
    burst=10_000,
    bytes_per_second=1e9,
    image_pixels=1_000_000,
    calls_per_second=1e6,
    call_burst=1_000_000,
)
HONEST = {"prompt": "a cat", "model": "pocket", "num_inference_steps": 1}
API = "/gradio_api"
STREAMS = ("heartbeat", "queue/data", "stream", "sse", "mcp", "/call/{")  # answers that do not end by themselves
Request = tuple[str, str, dict[str, Any]]


@dataclass
class Report:
    """What came of it. `wrong` says which inputs were answered as they must not be."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds of the processor
    honest: int = 0
    lost: int = 0
    stacks: list[str] = field(default_factory=list)  # in the log
    dead: list[str] = field(default_factory=list)  # threads

    @property
    def faults(self) -> list[str]:
        """All that is wrong, for people."""
        lost = [f"{self.lost} honest frames of {self.honest} were not drawn"] if self.lost or not self.honest else []
        return [*self.wrong, *lost, *(f"in the log: {stack}" for stack in self.stacks), *(f"ended: {name}" for name in self.dead)]

    def __str__(self) -> str:
        told = ", ".join(f"{answer}: {count}" for answer, count in sorted(self.answers.items()))
        return (
            f"{self.answers.total()} bad inputs ({told}); slowest {self.slowest:.2f} s of the processor; {self.honest} honest "
            f"frames, {self.lost} lost; {len(self.wrong)} wrong answers, {len(self.stacks)} stacks, {len(self.dead)} dead threads"
        )


@dataclass(frozen=True)
class Doors:
    """What can be called: routes with their methods, endpoints with how many values they take, and the bridge."""

    routes: tuple[tuple[str, str], ...]
    endpoints: tuple[tuple[str, int], ...]
    functions: int
    bridge: int

    @staticmethod
    def of(studio: Served) -> Doors:
        """Those of a studio, private ones included."""
        page = studio.studio.page
        routes = [(method, route.path) for route in page.app.routes for method in sorted(getattr(route, "methods", None) or ())]
        named = [(str(fn.api_name), len(fn.inputs)) for fn in page.fns.values() if fn.api_name]
        bridge = next(block._id for block in page.blocks.values() if getattr(block, "elem_id", None) == "hs-bridge")
        return Doors(tuple(routes), tuple(named), len(page.fns), bridge)


def odd_value(chance: random.Random) -> Any:
    """A value of any type, or a structure of them."""
    kind = chance.random()
    if kind < 0.6:
        return chance.choice(VALUES)
    if kind < 0.7:
        return chance.choice(
            ([[[[]]]] * 50, {"path": chance.choice(VALUES)}, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
        )
    if kind < 0.8:
        return values(chance, HEAD)
    if kind < 0.9:
        return [odd_value(chance) for _ in range(chance.randrange(4))]
    return chance.choice(
        (int("9" * 4000), "\ud83d", "a" * 10_000, {"__type__": "update", "value": chance.choice(VALUES)}, -0.0, 10**18)
    )


def odd_json(chance: random.Random, good: Any) -> bytes:
    """A body: wrong values mostly, sometimes no JSON."""
    kind = chance.random()
    if kind < 0.8:
        return as_json(good)
    giants = (nested(5000).encode(), nested(20_000, '{"a":').encode(), b"[" + b"9" * 6000 + b"]")
    return chance.choice((*giants, noise(chance), b"", b"[NaN]", b'"\\ud800"'))


def endpoint_call(chance: random.Random, doors: Doors) -> Request:
    """A call of an endpoint, named or private, by each way there is."""
    name, inputs = chance.choice(doors.endpoints)
    count = chance.choice((inputs, inputs, inputs, max(0, inputs - 1), inputs + 1, 0, 40))
    body: dict[str, Any] = {"data": [odd_value(chance) for _ in range(count)]}
    if chance.random() < 0.3:
        body[chance.choice(("session_hash", "fn_index", "event_data", "trigger_id", "simple_format", "data"))] = odd_value(chance)
    way = chance.randrange(4)
    if way == 0:
        return "POST", f"{API}/run/{name}", {"content": odd_json(chance, body)}
    if way == 1:
        return "POST", f"{API}/call/{name}", {"content": odd_json(chance, body)}
    index = chance.choice((chance.randrange(doors.functions), chance.randrange(doors.functions), -1, 10**9))
    indexed = {"session_hash": "s", "event_data": None, "trigger_id": None, **body, "fn_index": index}
    return "POST", f"{API}/{'run/predict' if way == 2 else 'queue/join'}", {"content": odd_json(chance, indexed)}


def route_call(chance: random.Random, doors: Doors) -> Request:
    """Any route with odd parts in its path, an odd query and an odd body."""
    method, path = chance.choice([row for row in doors.routes if not any(part in row[1] for part in STREAMS)])
    odd = ("x", "../../etc/passwd", "%0d%0aforged", "%00", "9" * 300, quote("🦊"), "-1", "\u202e", "..%2f..%2f", "a" * 3000, "")
    parts = [chance.choice(odd) if "{" in part else part for part in path.split("/")]
    query = chance.choice(("", "", f"?{'y' * 500}", "?session_hash=%ff&x[]=1", "?a=" + "%25" * 100))
    if method in ("GET", "HEAD", "OPTIONS"):
        return method, "/".join(parts) + query, {}
    body = {name: odd_value(chance) for name in ("data", "x", "files")}
    return method, "/".join(parts) + query, {"content": odd_json(chance, body)}


def upload(chance: random.Random, _doors: Doors) -> Request:
    """A file that is none, under a name that is none."""
    name = chance.choice(("../../x.png", "a\nb.png", "x" * 400 + ".png", "con.png", "\u202egnp.exe", ".", "x.svg", "x.html"))
    data = chance.choice((images, recipes, noise))(chance)
    if chance.random() < 0.3:
        kind = chance.choice(("multipart/form-data; boundary=x", "multipart/form-data", "", "multipart/x; boundary="))
        return "POST", f"{API}/upload", {"content": b"--x\r\n" + noise(chance) + data, "headers": {"content-type": kind}}
    return "POST", f"{API}/upload", {"files": {"files": (name, data)}}


def mcp(chance: random.Random, _doors: Doors) -> Request:
    """A message of the Model Context Protocol, wrongly."""
    method = chance.choice(("tools/call", "tools/list", "initialize", "x\ny", "", 3, None))
    body = {"jsonrpc": chance.choice(("2.0", "1.0", 2)), "id": odd_value(chance), "method": method, "params": odd_value(chance)}
    headers = {"accept": chance.choice(("application/json, text/event-stream", "x", "")), "content-type": "application/json"}
    return chance.choice(("POST", "POST", "DELETE")), f"{API}/mcp/", {"content": odd_json(chance, body), "headers": headers}


def broad(chance: random.Random, doors: Doors) -> Request:
    """As the calls that have failed before."""
    return calls(chance, tuple(name for name, _ in doors.endpoints), doors.bridge)


WAYS: tuple[tuple[Callable[[random.Random, Doors], Request], int], ...] = (
    (endpoint_call, 6), (route_call, 3), (upload, 1), (mcp, 1), (broad, 3),
)  # fmt: skip


def fuzz(studio: Served, count: int, seed: int = 0) -> Report:
    """`count` bad inputs: four of five by HTTP, the others at the socket."""
    report, chance, doors = Report(), random.Random(seed), Doors.of(studio)
    with logged(report), honest_visitor(studio, report), httpx.Client(base_url=studio.address, timeout=PATIENCE) as http:
        threads = {thread.name for thread in threading.enumerate() if thread.name.startswith(("frames", "sketches", "worker"))}
        board = Board(studio)
        ways, weights = [way for way, _ in WAYS], [weight for _, weight in WAYS]
        for i in range(count):
            if i % 5 == 4:
                board.send(frames(chance), report)
            else:
                send(http, chance.choices(ways, weights)[0](chance, doors), report)
        board.close()
        report.dead += sorted(threads - {thread.name for thread in threading.enumerate() if thread.is_alive()})
    return report


def send(http: httpx.Client, request: Request, report: Report) -> None:
    """One request by HTTP, judged."""
    method, path, options = request
    began = time.process_time()
    try:
        reply = http.request(method, path, **options)
    except httpx.InvalidURL:
        return
    except (httpx.HTTPError, UnicodeEncodeError) as error:
        report.wrong.append(f"{method} {path[:80]!r} {str(options)[:160]}: {type(error).__name__} {error}")
        return
    spent = time.process_time() - began
    report.slowest = max(report.slowest, spent)
    report.answers[str(reply.status_code)] += 1
    excused = reply.status_code in (503, 507) and "retry-after" in reply.headers
    if (reply.status_code >= 500 and not excused) or "Traceback" in reply.text or spent > SECONDS:
        report.wrong.append(f"{method} {path[:80]!r} {str(options)[:240]}: {reply.status_code} {spent:.2f} s {reply.text[:120]}")


def opened(studio: Served) -> ClientConnection:
    """A board."""
    socket = sockets.opened(f"ws://127.0.0.1:{studio.port}/studio/board", max_size=None, open_timeout=PATIENCE)
    socket.send(json.dumps({"token": studio.studio.service.signer.issue()}))
    socket.recv(timeout=PATIENCE)
    return socket


class Board:
    """A board at which bad frames are sent; opened anew where one closed it."""

    def __init__(self, studio: Served) -> None:
        self._studio = studio
        self._socket = opened(studio)

    def send(self, frame: bytes, report: Report) -> None:
        """One frame, judged."""
        began = time.process_time()
        try:
            self._socket.send(frame)
            data = self._socket.recv(timeout=PATIENCE)
        except (ConnectionClosed, TimeoutError) as error:
            report.wrong.append(f"frame {frame[:80]!r}: {type(error).__name__}")
            self._socket = opened(self._studio)
            return
        spent = time.process_time() - began
        report.slowest = max(report.slowest, spent)
        told = unpack(data).head if isinstance(data, bytes) else json.loads(data)
        report.answers[f"board {told['type']}"] += 1
        if "log says why" in str(told) or spent > SECONDS:
            report.wrong.append(f"frame {frame[:120]!r}: {spent:.2f} s {told}")

    def close(self) -> None:
        """Leave."""
        self._socket.close()


@contextmanager
def honest_visitor(studio: Served, report: Report) -> Iterator[None]:
    """Somebody who draws meanwhile, and sees whether every frame comes back."""
    stop = threading.Event()

    def draw() -> None:
        socket, sequence = opened(studio), 0
        while not stop.is_set():
            sequence += 1
            report.honest += 1
            try:
                socket.send(pack(Message(sequence, {**HONEST, "seed": sequence}, image())))
                data = socket.recv(timeout=PATIENCE)
                drawn = isinstance(data, bytes) and unpack(data).sequence == sequence
            except (ConnectionClosed, TimeoutError):
                socket, drawn = opened(studio), False
            report.lost += not drawn
            stop.wait(0.1)
        socket.close()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2 * PATIENCE)


@contextmanager
def logged(report: Report) -> Iterator[None]:
    """Stacks in the log, which a visitor's mistake must not leave."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[0] is not None:
                report.stacks.append(f"{record.name}: {record.exc_info[0].__name__}: {record.exc_info[1]}"[:300])

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def main() -> int:
    """Run, print, and fail if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with served(limits=LIMITS) as studio:
        report = fuzz(studio, args.count, args.seed)
    sys.stdout.write("\n".join([*report.faults[:40], str(report), ""]))
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
