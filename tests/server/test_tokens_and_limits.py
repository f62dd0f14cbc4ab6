"""Tokens, limits as settings, rate buckets and wire messages."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hypersd_app import cli
from hypersd_app.errors import InvalidRequest
from hypersd_app.server.http.tokens import TokenRefused, TokenSigner
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.scheduling.limits import BoardLimits, RateBucket, limits_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_names_its_visitor_until_it_expires() -> None:
    clock = Clock()
    signer = TokenSigner(lifetime=60, clock=clock)
    token = signer.issue()
    assert signer.visitor(token) == token.split(".")[0]
    clock.now += 61
    with pytest.raises(TokenRefused, match="too old"):
        signer.visitor(token)


@pytest.mark.parametrize("token", [None, "", "a.b", "a.9999999999.0", "é.1.2", 5, "x" * 500])
def test_what_we_did_not_sign_is_refused(token: object) -> None:
    with pytest.raises(TokenRefused):
        TokenSigner().visitor(token)


def test_a_changed_token_is_refused() -> None:
    signer = TokenSigner()
    visitor, expiry, signature = signer.issue().split(".")
    with pytest.raises(TokenRefused):
        signer.visitor(f"{visitor}.{int(expiry) + 1}.{signature}")
    with pytest.raises(TokenRefused):
        TokenSigner().visitor(f"{visitor}.{expiry}.{signature}")


def test_a_bucket_empties_and_fills_again() -> None:
    clock = Clock()
    bucket = RateBucket(rate=10, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.now += 0.1
    assert bucket.take() and not bucket.take()
    clock.now += 100
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_every_limit_can_be_set() -> None:
    for item in fields(BoardLimits):
        text = "a.example,b.example" if item.name == "allowed_origins" else "7"
        expected = ("a.example", "b.example") if item.name == "allowed_origins" else 7
        assert getattr(limits_of(f"{item.name}={text}"), item.name) == expected
    assert limits_of("sessions_an_address=3 jobs_a_visitor=2") == BoardLimits(sessions_per_address=3, jobs_per_visitor=2)
    assert limits_of("") == BoardLimits() and limits_of("sessions=5 sessions=9").sessions == 9


@pytest.mark.parametrize(
    "text", ["visitors=3", "sessions", "sessions=0", "sessions=1.5", "sessions=-1", "frames_per_second=nan", "=3"]
)
def test_a_wrong_limit_is_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match="limit"):
        limits_of(text)


def test_limits_come_from_the_environment_and_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypersd_app.ui import app as launch

    served: list[BoardLimits] = []
    monkeypatch.setattr(launch, "serve", lambda settings: served.append(limits_of(settings.limits)))
    monkeypatch.setenv("HYPERSD_LIMITS", "sessions=100 burst=7")
    assert cli.main(["serve"]) == 0 and cli.main(["serve", "--limit", "sessions=5", "--limit", "jobs=2"]) == 0
    assert [(limits.sessions, limits.burst, limits.jobs) for limits in served] == [(100, 7, 64), (5, 7, 2)]


def test_messages_come_back_as_packed() -> None:
    message = Message(7, {"prompt": "Öl"}, b"\x00\x01")
    assert unpack(pack(message)) == message


@pytest.mark.parametrize(
    "data",
    [b"", b"1234567", b"\x01\0\0\0\xff\xff\xff\xff{}", b"\x01\0\0\0\x02\0\0\0[]", b"\x01\0\0\0\x02\0\0\0\xff\xfe"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        unpack(data)
