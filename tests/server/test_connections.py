# ruff: noqa: E501 - tables of requests
"""Slow, silent and many connections, and one address that asks for everything: others are served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from hypersd_app.server.http.connections import Patience, limit_connections, patient
from hypersd_app.server.scheduling.limits import BoardLimits, address_group
from tests.support.fake_engine import FakeEngine
from tests.support.studio import Served, served

QUICK = Patience(header_seconds=1.0, body_seconds=1.0, write_seconds=1.0, look_seconds=0.1, connections=40)
HEAD = b"POST /gradio_api/upload HTTP/1.1\r\nhost: localhost\r\n"
PATIENCE = 30.0  # of a test with a server that is busy


@pytest.fixture(scope="module")
def impatient() -> Iterator[Served]:
    with served() as running:
        config = running.studio.page.server.config
        config.http_protocol_class = patient(config.http_protocol_class.__mro__[2], QUICK)
        config.timeout_keep_alive = 1  # seconds; uvicorn's five are not what these tests ask about
        yield running


def opened(studio: Served, stack: ExitStack, sent: bytes = b"") -> socket.socket:
    line = stack.enter_context(closing(socket.create_connection(("127.0.0.1", studio.port), PATIENCE)))
    line.sendall(sent)
    return line


def ended(line: socket.socket) -> bytes:
    """What was said until the server hung up."""
    line.settimeout(PATIENCE)
    told = b""
    try:
        while data := line.recv(65536):
            told += data
    except ConnectionResetError:
        pass
    return told


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ", HEAD + b"content-length: 100\r\n\r\n", HEAD + b"content-length: 100\r\n\r\nabc",
     HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab"],
    ids=["silence", "half a line", "half a header", "no body", "half a body", "half a chunk"],
)  # fmt: skip
def test_who_does_not_go_on_is_hung_up_on(impatient: Served, sent: bytes) -> None:
    with ExitStack() as stack:
        told = ended(opened(impatient, stack, sent))
    assert told == b"" or b" 408 " in told or b" 4" in told[:20]


def test_dripping_headers_do_not_help(impatient: Served) -> None:
    with ExitStack() as stack:
        line = opened(impatient, stack, b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < PATIENCE:
                line.sendall(b"x: y\r\n")
                time.sleep(0.1)


def test_who_does_not_read_is_hung_up_on(impatient: Served) -> None:
    with ExitStack() as stack:
        line = stack.enter_context(closing(socket.socket()))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", impatient.port))
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < PATIENCE:
                line.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                time.sleep(0.02)


def test_many_half_sent_requests_leave_room_for_whole_ones(impatient: Served) -> None:
    with ExitStack() as stack:
        for _ in range(3 * QUICK.connections):
            opened(impatient, stack, b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        assert httpx.get(f"{impatient.address}ready", timeout=PATIENCE).status_code in (200, 503)


def test_a_slow_but_steady_upload_is_taken(impatient: Served) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(12):
            yield b"x" * 1000
            time.sleep(0.15)

    body = b"".join([b'--b\r\ncontent-disposition: form-data; name="files"; filename="x.png"\r\n\r\n'])
    content = iter([body, *()])

    def whole() -> Iterator[bytes]:
        yield from content
        yield from parts()
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = httpx.post(f"{impatient.address}gradio_api/upload", content=whole(), headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200


def test_a_real_studio_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Config:
        http_protocol_class = type("Protocol", (), {})

    limit_connections(Config)
    assert Config.http_protocol_class.__name__ == "PatientProtocol" and Config.http_protocol_class.patience.connections >= 16


@pytest.mark.parametrize(
    ("address", "group"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff:9", "2001:db8::/64"),
     ("2001:db8:0:1::1", "2001:db8:0:1::/64"), ("fe80::1%eth0", "fe80::/64"), ("", ""), ("testclient", "testclient")],
)  # fmt: skip
def test_addresses_of_one_network_count_as_one(address: str, group: str) -> None:
    assert address_group(address) == group


def test_one_address_that_asks_for_everything_delays_nobody_elses_page(tmp_path: Path) -> None:
    gate = threading.Event()

    class Slow(FakeEngine):
        def generate(self, request, progress=None):  # type: ignore[no-untyped-def]
            gate.wait(PATIENCE)
            return super().generate(request, progress)

    limits = BoardLimits(calls_per_address=8)
    body = {"data": ["a cat", 8, 0, 8, "", "", "", "", None, None, None, None]}

    def call(session: int) -> int:
        greedy = {"x-forwarded-for": f"2001:db8::{session + 1:x}"}  # of one household's network
        asked = {**body, "session_hash": f"s{session}"}
        address = f"{studio.address}gradio_api/{'run/text_to_image' if session % 2 else 'call/text_to_image'}"
        return httpx.post(address, json=asked, headers=greedy, timeout=PATIENCE).status_code

    with served(Slow(folder=tmp_path), limits=limits) as studio, ThreadPoolExecutor(44) as pool:
        calls = [pool.submit(call, session) for session in range(44)]
        try:
            other = {"x-forwarded-for": "203.0.113.9"}
            for path in ("", "config", "ready"):
                assert httpx.get(f"{studio.address}{path}", headers=other, timeout=PATIENCE).status_code in (200, 503)
            files = {"files": ("x.png", b"x")}
            assert httpx.post(f"{studio.address}gradio_api/upload", files=files, headers=other, timeout=PATIENCE).status_code == 200
            styles = httpx.post(f"{studio.address}gradio_api/run/list_styles", json={"data": [""]}, headers=other, timeout=PATIENCE)
            assert styles.status_code == 200
        finally:
            gate.set()
        told = [call.result() for call in calls]
    assert told.count(429) >= 44 - limits.calls_per_address - 8 and set(told) <= {200, 429, 503}
