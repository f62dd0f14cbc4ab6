"""Whether a LoRA file fits a model, layer by layer, and how to say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypersd_app.catalog.lora.adapters import Adapter
from hypersd_app.catalog.lora.contents import LoraContents, named
from hypersd_app.catalog.lora.keys import COMPONENTS
from hypersd_app.catalog.lora.layers import Networks, is_known_layer
from hypersd_app.errors import ModelUnavailable


@dataclass(frozen=True)
class Fit:
    """The changes of one file, by whether a model can take them."""

    placed: tuple[Adapter, ...]
    unknown: tuple[Adapter, ...]  # the model has no such layer
    misshapen: tuple[Adapter, ...]  # it has, of another shape

    @property
    def share(self) -> float:
        """Share of the changes that act."""
        total = len(self.placed) + len(self.unknown) + len(self.misshapen)
        return len(self.placed) / total if total else 0.0


def fit(contents: LoraContents, networks: Networks) -> Fit:
    """How a file fits a model. Of networks that are not in `networks` only the names of layers are known."""
    placed: list[Adapter] = []
    unknown: list[Adapter] = []
    misshapen: list[Adapter] = []
    for adapter in contents.adapters:
        network = networks.get(adapter.place.component)
        if network is None:
            (placed if is_known_layer(adapter.place) else unknown).append(adapter)
        elif adapter.parameter not in network:
            unknown.append(adapter)
        else:
            (placed if adapter.fits(network[adapter.parameter]) else misshapen).append(adapter)
    return Fit(tuple(placed), tuple(unknown), tuple(misshapen))


def best_fit(contents: LoraContents, known: Sequence[Networks]) -> Fit:
    """The fit to the model that takes most of it. Raises ModelUnavailable if none takes it.

    Of the changes of each network at least half have to be there: of a file whose half does nothing the rest means little.
    """
    fits = [fit(contents, networks) for networks in known] or [fit(contents, {})]
    best = max(fits, key=lambda one: (not one.misshapen, one.share))
    if best.misshapen:
        raise ModelUnavailable(
            f"{contents.name} does not fit its model: {len(best.misshapen)} of the {len(contents.adapters)} layers it changes have "
            f"other shapes there, {named([adapter.place.module for adapter in best.misshapen])}."
        )
    for component in COMPONENTS:
        placed = sum(adapter.place.component == component for adapter in best.placed)
        lost = [adapter.place.module for adapter in best.unknown if adapter.place.component == component]
        if placed < len(lost):
            raise ModelUnavailable(
                f"{contents.name} does not fit its model: only {placed} of its {placed + len(lost)} layers are there, "
                f"not {named(lost)}."
            )
    return best


def notes(contents: LoraContents, found: Fit) -> tuple[str, ...]:
    """What of a file that is used does nothing, a sentence each."""
    told = []
    if found.unknown:
        lost = named([adapter.place.module for adapter in found.unknown])
        told.append(f"{len(found.unknown)} of {len(contents.adapters)} layers cannot be placed: {lost}.")
    if contents.strays:
        told.append(f"{len(contents.strays)} tensors have no meaning here: {named(contents.strays)}.")
    if contents.embeddings:
        told.append(f"Its embeddings are not used: {named(contents.embeddings)}.")
    return tuple(told)
