"""Tokens, rate buckets and wire messages."""

from __future__ import annotations

import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.server.limits import RateBucket
from hypersd_app.server.tokens import TokenRefused, TokenSigner
from hypersd_app.server.wire import Message, pack, unpack


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
