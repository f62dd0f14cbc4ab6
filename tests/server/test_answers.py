"""A client's fault is told as one: 4xx, the field by its name, one line in the log and no word of the visitor in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest, ModelUnavailable, Overloaded, Refused
from hypersd_app.server.http.answers import retry_after, status_of
from hypersd_app.server.observability.log_lines import LONGEST, LineFormatter, one_line
from tests.support.studio import Served, served

SECRET = "SECRETWORD"
FORGED = f"{SECRET}\n2026-01-01 00:00:00,000 INFO root: forged\r\x1b[31m\u2028forged"
GOOD: list[Any] = ["a cat", 1, 5, 1, "", "", "", "", None, None, None, None]
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the log says meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def post(studio: Served, path: str, body: object) -> httpx.Response:
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return httpx.post(f"{studio.address}gradio_api/{path}", content=content, headers=JSON, timeout=30)


def with_value(index: int, value: object) -> list[Any]:
    return [*GOOD[:index], value, *GOOD[index + 1 :]]


@pytest.mark.parametrize(
    ("endpoint", "data", "field"),
    [
        ("text_to_image", [], "data"),
        ("text_to_image", GOOD[:-1], "data"),
        ("text_to_image", [*GOOD, 1], "data"),
        ("text_to_image", with_value(1, "many"), "num_inference_steps"),
        ("text_to_image", with_value(1, []), "num_inference_steps"),
        ("text_to_image", with_value(1, 99), "num_inference_steps"),
        ("text_to_image", with_value(2, {}), "seed"),
        ("text_to_image", with_value(0, None), "prompt"),
        ("text_to_image", with_value(0, "\ud800"), "prompt"),
        ("text_to_image", with_value(10, float("nan")), "width"),
        ("scribble", [{"path": "/etc/passwd"}, "a", 1, 1, 0, "", "", ""], "sketch"),
        ("scribble", [3, "a", 1, 1, 0, "", "", ""], "sketch"),
        ("animate", [[], 1e9], "frames"),
        ("animate", ["x", 20], "pictures"),
        ("make_again", [[]], "picture"),
    ],
)
def test_the_field_is_named(studio: Served, log: io.StringIO, endpoint: str, data: list[Any], field: str) -> None:
    answer = post(studio, f"run/{endpoint}", {"data": data})
    assert answer.status_code == 422 and field in answer.json()["error"], answer.text
    called = post(studio, f"call/{endpoint}", {"data": data})
    if called.status_code == 200:
        stream = httpx.get(f"{studio.address}gradio_api/call/{endpoint}/{called.json()['event_id']}", timeout=30)
        assert "event: error" in stream.text and field in stream.text
    else:
        assert called.status_code == 400 and field in called.json()["detail"]
    assert "Traceback" not in log.getvalue() and log.getvalue().count("\n") <= 6


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("run/predict", {"data": []}, 404),
        ("run/nothing%0Aof%0Athat", {"data": []}, 404),
        ("call/nothing", {"data": []}, 404),
        ("queue/join", {"data": [], "fn_index": 99_999, "session_hash": "s"}, 400),
        ("queue/join", {"data": [], "fn_index": -1, "session_hash": "s"}, 400),
        ("run/text_to_image", "[" * 100_000, 400),
        ("run/text_to_image", '{"data": ' + "[" * 100_000, 400),
        ("run/text_to_image", json.dumps({"data": GOOD}).replace("5,", "9" * 5000 + ","), 400),
        ("call/text_to_image", {"data": []}, 400),
        ("call/text_to_image", {"data": with_value(1, "many")}, 200),
    ],
)
def test_what_is_no_call(studio: Served, path: str, body: object, status: int) -> None:
    assert post(studio, path, body).status_code == status


WRONG: tuple[Any, ...] = (None, "x", [[1]], {"path": "/etc/passwd"}, 1e308)


def test_no_event_of_the_page_answers_500(studio: Served, log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = []
    with httpx.Client(base_url=studio.address, timeout=30) as http:
        for event in http.get("/config").json()["dependencies"]:
            for value in WRONG:
                for count in {len(event["inputs"])}:
                    body = json.dumps({"data": [value] * count, "fn_index": event["id"]})
                    answer = http.post("/gradio_api/run/x", content=body, headers=JSON)
                    if answer.status_code >= 500:
                        wrong.append((event["api_name"], value, count, answer.text[:200]))
    assert not wrong
    assert "Traceback" not in log.getvalue() + capfd.readouterr().err


def mcp(studio: Served, arguments: dict[str, Any]) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "text_to_image", "arguments": arguments}}
    headers = {**JSON, "accept": "application/json, text/event-stream"}
    httpx.post(f"{studio.address}gradio_api/mcp/", content=json.dumps(call), headers=headers, timeout=30)


def test_nobody_forges_a_line_and_no_word_of_a_prompt_is_written(
    studio: Served, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    post(studio, "run/text_to_image", {"data": with_value(0, FORGED)})
    post(studio, "run/text_to_image", {"data": [FORGED] * 12})
    post(studio, f"run/{SECRET}%0Aforged", {"data": []})
    post(studio, "call/text_to_image", {"data": [{"x": FORGED}] * 12})
    post(studio, "queue/join", {"data": FORGED, "fn_index": FORGED})
    post(studio, "run/scribble", {"data": [{"path": FORGED}, FORGED, 1, 1, 0, "", "", ""]})
    mcp(studio, {"prompt": FORGED, "num_inference_steps": "x"})
    mcp(studio, {FORGED: FORGED})
    post(studio, "run/text_to_image", {"data": with_value(1, "y" * 3_900_000)})
    told = log.getvalue() + "".join(capfd.readouterr())
    assert not [line for line in told.splitlines() if line.startswith(("2026-01-01", "forged"))]
    assert SECRET not in told and len(told) < 20_000 and "Traceback" not in told


def line(
    message: str, *arguments: object, name: str = "hypersd_app.x", prompts: bool = False, error: BaseException | None = None
) -> str:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord(name, logging.WARNING, "x.py", 7, message, arguments, info)
    return LineFormatter(prompts).format(record)


def test_a_line_is_one_line_and_not_endless() -> None:
    assert "\n" not in line("%s", FORGED) and "\x1b" not in line("%s", FORGED)
    assert len(line("%s", "y" * 1_000_000)) < LONGEST + 200 and "(cut)" in line("%s", "y" * 1_000_000)
    assert one_line("a\nb\u2028\ud800é🍎") == "a\\nb\\u2028\\ud800é🍎"
    assert line("%d", "no number").endswith("%d")
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        first, *rest = line("failed", error=error).split("\n")
    assert first.endswith("failed") and rest and all(row.startswith("    | ") for row in rest)


def test_libraries_tell_where_and_not_what_unless_prompts_are_asked_for() -> None:
    assert SECRET not in line("Failed to validate request: %s", SECRET, name="mcp.server.lowlevel") and "x.py:7" in line(
        "a", name="mcp"
    )
    assert SECRET in line("Failed to validate request: %s", SECRET, name="mcp.server.lowlevel", prompts=True)


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [
        (InvalidRequest("a", 1, "b"), 422, 0), (Refused("no"), 403, 0), (ModelUnavailable("none"), 404, 0),
        (Overloaded("full", 2.5), 503, 3), (DeviceOutOfMemory("full"), 507, 5),
    ],
)  # fmt: skip
def test_the_status_of_each_error(error: Any, status: int, seconds: int) -> None:
    assert (status_of(error), retry_after(error)) == (status, seconds)


def test_limits_say_when_to_come_back(studio: Served) -> None:
    studio.engine.failure = Overloaded("All devices are busy.", 7)
    try:
        answer = post(studio, "run/text_to_image", {"data": GOOD})
    finally:
        studio.engine.failure = None
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7") and "busy" in answer.json()["error"]
