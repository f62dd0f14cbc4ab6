"""Health, readiness, metrics and the request log; and the limits that visitors meet, behind a proxy too."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest, Overloaded
from hypersd_app.requests import GenerationRequest
from hypersd_app.safety.gate import SafetyGate
from hypersd_app.safety.prompt_filter import PromptFilter
from hypersd_app.server.engines.guarded import GuardedEngine
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.observability import request_log as journal_module
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.observability.request_log import Record, RequestLog, write_request_log
from hypersd_app.server.scheduling.limits import BoardLimits
from tests.support.fake_engine import FakeEngine
from tests.support.sockets import opened
from tests.support.studio import Served, served

LIMITS = BoardLimits(sessions=6, sessions_per_address=2, calls_per_second=0.01, call_burst=5, come_back_seconds=30)

REST = [1, 5, 1, "", "", "", "", None, None, None, None]  # of the arguments of /text_to_image


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    engine = FakeEngine()
    gate = SafetyGate(PromptFilter(), lambda: lambda images: [False] * len(images))
    with served(GuardedEngine(engine, gate), limits=LIMITS) as running:  # type: ignore[arg-type]
        yield running


def board(studio: Served, address: str = "") -> ClientConnection:
    headers = {"x-forwarded-for": address} if address else {}
    socket = opened(f"ws://127.0.0.1:{studio.port}/studio/board", additional_headers=headers, max_size=None)
    socket.send(json.dumps({"token": studio.studio.service.signer.issue()}))
    assert json.loads(socket.recv(timeout=10))["type"] == "ready"
    return socket


def drawn(socket: ClientConnection, prompt: str) -> dict[str, object]:
    socket.send(pack(Message(1, {"prompt": prompt, "model": "pocket"})))
    data = socket.recv(timeout=10)
    return dict(unpack(data).head) if isinstance(data, bytes) else dict(json.loads(data))


def samples(studio: Served) -> dict[tuple[str, str], float]:
    text = httpx.get(f"{studio.address}metrics").text
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_and_readiness(studio: Served) -> None:
    health = httpx.get(f"{studio.address}health")
    assert health.status_code == 200 and health.json()["ok"] and health.json()["engine"]["safety"] == "on"
    assert httpx.get(f"{studio.address}ready").status_code == 503, "nothing is warm yet"
    studio.studio.readiness._run(studio.engine, "pocket", ())
    assert httpx.get(f"{studio.address}ready").json() == {"ready": True, "state": "ready"}


def test_metrics_count_what_happens(studio: Served) -> None:
    before = samples(studio)
    with board(studio) as socket:
        assert drawn(socket, "a cat")["type"] == "picture"
        assert drawn(socket, " ")["type"] == "error"
        now = samples(studio)
    grown = {key: value - before.get(key, 0) for key, value in now.items()}
    assert grown["hypersd_requests_total", "picture,socket"] == 1 and grown["hypersd_requests_total", "error,socket"] == 1
    assert grown["hypersd_errors_total", "InvalidRequest"] == 1 and grown["hypersd_batch_size_count", ""] == 1
    assert {"unet", "safety", "waited", "rendered"} <= {label for name, label in now if name == "hypersd_part_seconds_count"}
    assert now["hypersd_boards", ""] >= 1 and now["process_resident_memory_bytes", ""] > 1e7


def test_the_gate_stands_at_every_door(studio: Served) -> None:
    with board(studio) as socket:
        assert "does not draw" in str(drawn(socket, "a nude")["message"])
    api = f"{studio.address}gradio_api/call/text_to_image"
    event = httpx.post(api, json={"data": ["a nude", *REST]}).json()["event_id"]
    stream = httpx.get(f"{api}/{event}", timeout=20).text
    assert "event: error" in stream and "event: complete" not in stream
    event = httpx.post(api, json={"data": ["a cat", *REST]}).json()["event_id"]
    assert "event: complete" in httpx.get(f"{api}/{event}", timeout=20).text, "it was the words that were refused"
    service = studio.studio.service
    with pytest.raises(Exception, match="does not draw"):
        service.render_aside("v", Message(1, {"prompt": "nudes", "model": "pocket"}))
    behind: FakeEngine = studio.engine.engine  # type: ignore[attr-defined]
    assert not any("nude" in request.prompt for request in behind.requests)
    assert service.render("v", Message(1, {"prompt": "nudes", "model": "pocket"})).error is not None


def test_visitors_behind_a_proxy_are_told_apart(studio: Served) -> None:
    with board(studio, "203.0.113.7"), board(studio, "203.0.113.7"):
        with pytest.raises(ConnectionClosed) as closed:
            board(studio, "203.0.113.7")
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4429
        assert "30 s" in closed.value.rcvd.reason
        with board(studio, "203.0.113.8") as other:
            assert drawn(other, "a cat")["type"] == "picture"


def test_who_calls_too_often_is_told_when_to_come_back(studio: Served) -> None:
    def post(address: str) -> httpx.Response:
        return httpx.post(f"{studio.address}gradio_api/queue/join", json={}, headers={"x-forwarded-for": address})

    replies = [post("203.0.113.9") for _ in range(LIMITS.call_burst + 1)]
    assert [reply.status_code == 429 for reply in replies] == [False] * LIMITS.call_burst + [True]
    assert int(replies[-1].headers["retry-after"]) > 0 and "Try again in" in replies[-1].json()["detail"]
    assert post("203.0.113.10").status_code != 429


def test_the_log_has_a_line_a_request_and_no_prompt() -> None:
    stream, request = io.StringIO(), GenerationRequest("my secret words", seed=3)
    handlers, propagate = journal_module.logger.handlers, journal_module.logger.propagate
    write_request_log(stream)
    try:
        error = InvalidRequest("prompt", "my secret words", "others")
        RequestLog(Metrics()).write(
            Record(
                transport="socket",
                visitor="v1",
                outcome="picture",
                request=request,
                sketch=True,
                sequence=5,
                milliseconds={"unet": 16.64},
                batch=2,
            )
        )
        RequestLog(Metrics()).write(Record(transport="api", visitor="v2", outcome="error", request=request, error=error))
        RequestLog(Metrics(), log_prompts=True).write(Record(transport="socket", visitor="v1", outcome="dropped", request=request))
    finally:
        journal_module.logger.handlers, journal_module.logger.propagate = handlers, propagate
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "secret" not in json.dumps(lines[:2]) and lines[2]["prompt"] == "my secret words"
    assert lines[0] | {"time": 0} == {
        "time": 0, "transport": "socket", "visitor": "v1", "seq": 5, "outcome": "picture",
        "model": "pocket", "recipe": "", "steps": 1,
        "images": 1, "styles": [], "prompt_length": 15, "sketch": True, "ms": {"unet": 16.6}, "batch": 2,
    }  # fmt: skip
    assert (lines[1]["error"], lines[1]["field"]) == ("InvalidRequest", "prompt")


def test_errors_say_when_to_come_back_and_cross_processes_whole() -> None:
    import pickle

    for error in (Overloaded("Full.", 2.4), InvalidRequest("seed", -1, "0"), DeviceOutOfMemory("No room.")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and again.__dict__ == error.__dict__
    assert str(Overloaded("Full.", 2.4)) == "Full. Try again in 2 s."
