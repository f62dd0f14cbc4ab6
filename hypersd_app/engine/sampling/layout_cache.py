"""Pocket's layouts, read off the words once a prompt, styles and, with a code, seed: neither step nor sketch changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast
from weakref import WeakKeyDictionary

from cachetools import FIFOCache
from torch import Tensor, nn

from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.models.layout import LayoutSize

STYLES_KEPT = 16  # of one prompt; the style strip draws each prompt in every style


class LayoutCache:
    """What `prior` makes of embeddings (1, L, D), kept as long as the embeddings themselves are. Use under the device lock."""

    def __init__(self, prior: Callable[[Tensor], Tensor]) -> None:
        self._prior = prior
        self._known: WeakKeyDictionary[Conditioning, FIFOCache[object, Conditioning]] = WeakKeyDictionary()

    def added_to(self, words: Conditioning, styles: object) -> Conditioning:
        """`words` with their layout, while `styles` act on the prior."""
        known = self._known.setdefault(words, FIFOCache(STYLES_KEPT))
        if styles not in known:
            known[styles] = replace(words, layout=self._prior(words.hidden))
        return known[styles]


def layout_prior(unet: nn.Module) -> nn.Module | None:
    """The part of a UNet that draws layouts; None where it has none."""
    return getattr(unet, "layout", None)


def layout_code(unet: nn.Module) -> int:
    """Numbers of the code that tells its layouts apart; 0: a prompt has one layout, or none."""
    prior = layout_prior(unet)
    return 0 if prior is None else cast(LayoutSize, prior.size).code


def reads_layout(module: nn.Module) -> bool:
    """Whether a UNet or ControlNet is told the layout."""
    return layout_prior(module) is not None or getattr(module, "reads_layout", False)
