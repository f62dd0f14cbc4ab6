"""Pinned revisions: `HYPERSD_REVISIONS="owner/name=sha ..."` keeps a repository at one commit, tag or branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.errors import InvalidRequest

Row = TypeVar("Row")
Pins = Mapping[str, str]  # repository -> revision


def read_pins(text: str) -> dict[str, str]:
    """The pins that the setting `revisions` lists, with spaces or commas between. Raises InvalidRequest."""
    pins = {}
    for entry in text.replace(",", " ").split():
        repo, _, revision = entry.partition("=")
        if not revision or repo.count("/") != 1 or not all(repo.split("/")):
            raise InvalidRequest("revisions", entry, "owner/name=revision, with spaces between")
        pins[repo] = revision
    return pins


def pinned(row: Row, pins: Pins) -> Row:
    """A row of the catalogue with every source in it, however deep, at its pinned revision."""
    if not pins:
        return row
    at_pins: Row = _pinned(row, pins)
    return at_pins


def _pinned(value: Any, pins: Pins) -> Any:
    if isinstance(value, WeightSource):
        return replace(value, revision=pins[value.repo]) if value.repo in pins else value
    if isinstance(value, tuple):
        return tuple(_pinned(item, pins) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _pinned(getattr(value, field.name), pins) for field in fields(value)})
    return value
