"""Replicas on cards: shares that Ray can give, and room for what they load."""

from __future__ import annotations

import subprocess

import pytest

from hypersd_app.engine.memory import budget
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.server.engines.ray.cards import card_gigabytes, card_share, require_room


@pytest.mark.parametrize(
    ("replicas", "cards", "share"),
    [(2, 0, 0.0), (1, 1, 1.0), (2, 4, 1.0), (2, 1, 0.5), (3, 1, 0.3333), (5, 2, 0.3333), (8, 2, 0.25)],
)
def test_cards_are_divided_so_that_all_replicas_start(replicas: int, cards: int, share: float) -> None:
    assert card_share(replicas, cards) == share
    assert not share or replicas <= cards * (1 // share)


def test_a_share_that_is_asked_for_is_given_if_it_fits() -> None:
    assert card_share(4, 1, 0.25) == 0.25
    assert card_share(2, 4, 2.0) == 2.0
    for replicas, cards, wanted in ((5, 1, 0.25), (3, 1, 0.4), (2, 2, 2.0)):
        with pytest.raises(InvalidRequest, match="replicas"):
            card_share(replicas, cards, wanted)


def test_what_does_not_fit_beside_the_others_is_told_before_it_starts() -> None:
    require_room(0.5, 10, 24)
    require_room(0.5, 0, 24)
    require_room(0.5, 100, None)
    with pytest.raises(ModelUnavailable, match=r"11\.4 GB"):
        require_room(0.5, 12, 24)


def test_a_replica_takes_its_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget.torch.cuda, "mem_get_info", lambda: (24e9, 24e9))
    assert budget.memory_budget("cuda", 0) == int(24e9 * budget.SHARE)
    assert budget.memory_budget("cuda", 0, 0.25) == int(6e9 * budget.SHARE)


def test_the_card_is_asked_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told = subprocess.CompletedProcess([], 0, stdout="24564\n16376\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: told)
    assert card_gigabytes() == pytest.approx(17.17, abs=0.01)
    told.stdout = "no devices were found\n"
    assert card_gigabytes() is None
