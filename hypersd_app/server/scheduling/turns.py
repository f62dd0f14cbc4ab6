"""Turns of one kind of work, counted by address: who waits has had fewer than those who are served before."""

from __future__ import annotations

from typing import Protocol

from cachetools import LRUCache

ROUND = 0.1  # seconds of the device in one turn; what takes longer costs several
DEAREST = 100.0  # turns: who met a driver that hung for two minutes has not had them all
MOST_REMEMBERED = 4096  # addresses, far more than may wait at once


class Claim(Protocol):
    """A request as far as its turn is concerned."""

    @property
    def claimant(self) -> str:
        """Who is charged."""
        ...


def price(seconds: float) -> float:
    """Turns for so many seconds: one for whatever fits a round, so that a style costs nobody who draws at the same pace."""
    return min(DEAREST, max(1.0, seconds / ROUND))


class Turns:
    """Turns that each claimant has had; the least recently seen are forgotten. Not thread-safe."""

    def __init__(self) -> None:
        self._had: LRUCache[str, float] = LRUCache(MOST_REMEMBERED)
        self._prices: dict[int, tuple[Claim, float]] = {}  # of what is in flight, as it was estimated
        self._level = 0.0  # turns of who was served last: who comes now starts there

    def join(self, claimant: str) -> None:
        """Somebody begins to wait: a pause saves up no claim, and turns that nobody else wanted are no debt."""
        self._had[claimant] = max(self._had.get(claimant, 0.0), self._level)

    def of(self, claim: Claim) -> float:
        """Turns that its claimant has had."""
        return self._had.get(claim.claimant, self._level)

    def serve(self, claim: Claim, turns: float) -> None:
        """Take it as the one whose turn it is."""
        self._level = max(self._level, self.of(claim))
        self.take(claim, turns)

    def take(self, claim: Claim, turns: float) -> None:
        """Charge what is about to run with an estimate."""
        self._had[claim.claimant] = self.of(claim) + turns
        self._prices[id(claim)] = (claim, turns)

    def give_back(self, claim: Claim) -> None:
        """It does not run after all."""
        self.settle(claim, 0.0)

    def settle(self, claim: Claim, turns: float) -> None:
        """It has run: what it cost takes the place of the estimate."""
        _, estimate = self._prices.pop(id(claim), (claim, 0.0))
        self._had[claim.claimant] = self.of(claim) + turns - estimate
