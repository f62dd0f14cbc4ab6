"""Style files of visitors: who brought one draws with it, nobody else does, and none stays for long."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hypersd_app.catalog.own_styles import is_own, own_path
from hypersd_app.errors import HyperSDError, InvalidRequest, ModelUnavailable, Overloaded
from hypersd_app.requests import GenerationRequest, StyleWeight
from hypersd_app.server.http.wire import Message
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.service import BoardService
from hypersd_app.server.visitor_styles import VisitorStyles
from tests.catalog.test_catalog import ATTENTION, style_file
from tests.support.fake_engine import POCKET, FakeEngine

MINE, THEIRS = "m" * 32, "t" * 32


class Now:
    """A clock that stands still."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def own(tmp_path: Path, now: Now) -> Iterator[VisitorStyles]:
    store = VisitorStyles(tmp_path / "visitors", BoardLimits(own_styles=2, own_style_seconds=100.0), now)
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return style_file(tmp_path / "mine.safetensors", ATTENTION, (4, 384), {"title": "Mine"})


def using(name: str) -> GenerationRequest:
    return GenerationRequest("a cat", styles=(StyleWeight(name),))


def test_it_serves_who_brought_it_and_nobody_else(own: VisitorStyles, file: Path) -> None:
    style = own.add(MINE, file, [POCKET])
    assert is_own(style.name) and style.path.is_file() and style.path != file
    assert own.of(MINE) == [style] and own.of(THEIRS) == [] and own.of(None) == []
    own.check(MINE, using(style.name))
    for key in (THEIRS, "", None, 5, [MINE]):
        with pytest.raises(InvalidRequest, match="serve who brought them"):
            own.check(key, using(style.name))
    own.check(THEIRS, using("ink"))


def test_count_size_and_all_together_are_bounded(own: VisitorStyles, file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        own.add(MINE, file, [POCKET], address="192.0.2.1")
    with pytest.raises(InvalidRequest, match="at most 2 of your own"):
        own.add(MINE, file, [POCKET])
    for number in range(4):
        own.add(f"{number}" * 32, file, [POCKET], address="192.0.2.1")
    with pytest.raises(Overloaded, match="of your address"):
        own.add(THEIRS, file, [POCKET], address="192.0.2.1")
    size = file.stat().st_size
    small = VisitorStyles(tmp_path / "small", BoardLimits(own_style_bytes=size - 1))
    with pytest.raises(InvalidRequest, match="at most"):
        small.add(MINE, file, [POCKET])
    full = VisitorStyles(tmp_path / "full", BoardLimits(own_styles_bytes=size + 1))
    full.add(MINE, file, [POCKET])
    with pytest.raises(Overloaded, match="no room"):
        full.add(THEIRS, file, [POCKET])
    full.close()


def test_it_is_gone_after_a_while_or_when_its_page_is_closed(own: VisitorStyles, file: Path, now: Now) -> None:
    first = own.add(MINE, file, [POCKET], session="one")
    second = own.add(THEIRS, file, [POCKET], session="two")
    own.forget("one")
    assert not first.path.exists() and second.path.exists()
    now.seconds = 100.0
    with pytest.raises(InvalidRequest):
        own.check(THEIRS, using(second.name))
    assert not second.path.exists()


def test_what_an_earlier_run_left_is_deleted(tmp_path: Path) -> None:
    old, young = tmp_path / f"own-{'a' * 32}.safetensors", tmp_path / f"own-{'b' * 32}.safetensors"
    for path in (old, young):
        path.write_bytes(b"")

    os.utime(old, (0, 0))
    VisitorStyles(tmp_path, BoardLimits())
    assert young.exists() and not old.exists()


@pytest.mark.parametrize("key", ["", "short", None, 7, "x" * 101])
def test_a_key_that_might_be_guessed_is_refused(own: VisitorStyles, file: Path, key: object) -> None:
    with pytest.raises(InvalidRequest, match="visitor_key"):
        own.add(key, file, [POCKET])


def test_what_is_no_style_or_for_no_model_here_is_refused(own: VisitorStyles, file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    for path, bases in ((broken, [POCKET]), (file, [replace(POCKET, family="sdxl")])):
        with pytest.raises(HyperSDError):
            own.add(MINE, path, bases)
    with pytest.raises(InvalidRequest, match="may run code"):
        own.add(MINE, Path(shutil.copyfile(file, tmp_path / "mine.ckpt")), [POCKET])
    assert not list((tmp_path / "visitors").glob("*")), "nothing is left of what was refused"


def test_a_name_is_no_path(tmp_path: Path) -> None:
    for name in ("own-../../x", "own-" + "A" * 32, "ink", ""):
        assert not is_own(name)
        with pytest.raises(AssertionError):
            own_path(tmp_path, name)


class Trusting(FakeEngine):
    """Draws with any style."""

    def _check_names(self, request: GenerationRequest) -> None:
        """None is unknown."""


def test_every_way_to_the_engine_asks_whose_file_it_is(own: VisitorStyles, file: Path) -> None:
    style, engine = own.add(MINE, file, [POCKET]), Trusting()
    service = BoardService(engine, own_styles=own)
    head = {"prompt": "a cat", "styles": [{"name": style.name, "weight": 1.0}]}
    try:
        for key, serves in ((MINE, True), (THEIRS, False), (None, False)):
            message = Message(1, {**head, "visitor_key": key}, b"")
            ways = (
                lambda message=message: service.render("a", message),
                lambda message=message: service.render_aside("a/strip", message),
                lambda message=message: service.render_together("a/compare", [message]),
                lambda key=key: service.generate(using(style.name), key=key),
            )
            for way in ways:
                if serves:
                    assert way()
                else:
                    with pytest.raises(InvalidRequest, match="serve who brought them"):
                        way()
        with pytest.raises(InvalidRequest):
            service.generate_together([using(style.name)])
        assert len(engine.requests) == 4
    finally:
        service.close()


def test_a_studio_that_keeps_none_says_so(file: Path) -> None:
    service = BoardService(Trusting())
    try:
        with pytest.raises(InvalidRequest, match="keeps none of visitors"):
            service.generate(using(f"own-{'a' * 32}"))
    finally:
        service.close()


def test_two_visitors_bring_files_at_once(own: VisitorStyles, file: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda key=key: made.append(own.add(key, file, [POCKET]).name)) for key in (MINE, THEIRS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2


def test_a_family_that_is_not_offered_is_named(own: VisitorStyles, file: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is for pocket, which is not offered here"):
        own.add(MINE, file, [replace(POCKET, family="sd15")])
