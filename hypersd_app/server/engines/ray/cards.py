"""How replicas share graphics cards: Ray hands out cards, and parts of them, by numbers it is told."""

from __future__ import annotations

import math
import subprocess

from hypersd_app.errors import InvalidRequest, ModelUnavailable

WHOLE = 1.0
DIGITS = 10_000  # Ray counts parts of a card in ten-thousandths
USABLE = 0.95  # of a card's memory; the rest is the driver's


def card_share(replicas: int, cards: float, wanted: float = 0.0) -> float:
    """The share of a card for each replica: `wanted`, or all cards divided evenly, at most one each. Raises InvalidRequest."""
    if cards <= 0:
        return 0.0
    if wanted:
        most = int(cards) * math.floor(WHOLE / wanted + 1e-9) if wanted <= 1 else int(cards // wanted)
        if replicas > most:
            raise InvalidRequest("replicas", replicas, f"at most {most}: that many shares of {wanted:g} fit on {cards:g} cards")
        return wanted
    on_each = math.ceil(replicas / cards)
    return math.floor(DIGITS / on_each) / DIGITS


def require_room(share: float, memory_gb: float, card_gb: float | None) -> None:
    """Raises ModelUnavailable if replicas that need `memory_gb` each do not fit side by side on a card of `card_gb`."""
    if card_gb is None or not memory_gb or share <= 0:
        return
    there = card_gb * USABLE * min(share, WHOLE)
    if memory_gb > there:
        raise ModelUnavailable(
            f"Each replica may use {memory_gb:g} GB, and its share of a card of {card_gb:.0f} GB is {there:.1f} GB: "
            "use fewer replicas, or a smaller HYPERSD_MEMORY_GB."
        )


def card_gigabytes() -> float | None:
    """Memory of this machine's smallest card, None if that can't be found out."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, check=True, capture_output=True, encoding="utf-8", timeout=20).stdout
        return min(float(line) for line in told.splitlines()) * 2**20 / 1e9
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
