"""Changes patched into a network's parameters so that every one can be undone exactly, or fused for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hypersd_app.catalog.lora.layers import parameter_name
from hypersd_app.engine.loading.lora.changes import Change
from hypersd_app.engine.loading.lora.reader import Changes
from hypersd_app.engine.loading.lora.transfer import moved_to, on_device
from hypersd_app.engine.memory.budget import free_bytes
from hypersd_app.errors import ModelUnavailable

ROOM = 3  # copies of a weight that changing it takes besides, in float32
SPARE = 2_000_000_000  # bytes that drawing needs
StyleFactors = Sequence[tuple[Changes, float]]


def parameters(module: nn.Module) -> dict[str, Tensor]:
    """Weights and biases of a network's layers by the names that changes have."""
    found = {}
    for name, layer in module.named_modules():
        for which in ("weight", "bias"):
            if isinstance(value := getattr(layer, which, None), Tensor):
                found[parameter_name(name, which)] = value
    return found


def shapes_of(targets: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters."""
    return {name: tuple(target.shape) for name, target in targets.items()}


def placed(changes: Changes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Change]:
    """Those changes whose parameters are there. Raises ModelUnavailable if none is, or one has another shape."""
    found = {name: change for name, change in changes.items() if name in shapes}
    if changes and not found:
        raise ModelUnavailable(f"The LoRA does not fit this model: it has no layer {next(iter(changes))!r}.")
    for name, change in found.items():
        if not change.fits(shapes[name]):
            raise ModelUnavailable(f"The LoRA does not fit this model: layer {name!r} has another shape.")
    return found


@torch.no_grad()
def fuse(module: nn.Module, changes: Changes, weight: float = 1.0) -> None:
    """Add `changes` to the weights for good. Raises ModelUnavailable for a LoRA of another network."""
    targets = parameters(module)
    found = placed(changes, shapes_of(targets))
    # (IA)^3 scales a bias where there is one; all else is a layer that another network has.
    if missing := [name for name in changes if name not in found and name.removesuffix(".bias") not in found]:
        raise ModelUnavailable(f"The LoRA does not fit this model: it has no layer {missing[0]!r}.")
    for name, change in found.items():
        _add(targets[name], [(moved_to(change, targets[name].device), weight)])


def _add(target: Tensor, changes: Sequence[tuple[Change, float]]) -> None:
    """In float32, rounded once: a small change added in bfloat16 would be lost."""
    base = total = target.float()
    for change, weight in changes:
        total = total + change.of(base, weight)
    target.copy_(total.to(target.dtype))


def kept_copy(target: Tensor) -> Tensor:
    """A copy beside `target`; in the machine's memory if the device is short, where styles of SDXL would take up to 5 GB more."""
    device = target.device.type
    roomy = device != "cuda" or free_bytes(device) > ROOM * target.nbytes + SPARE
    return target.detach().clone() if roomy else target.detach().cpu()


class StylePatch:
    """Styles on a module's weights. The touched weights are kept, so that taking a style off restores every bit."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._kept: dict[str, Tensor] = {}
        self._applied: object = ()

    @property
    def applied(self) -> object:
        """The key of the styles that act now; () for none."""
        return self._applied

    @property
    def bytes(self) -> int:
        """Memory of the kept weights."""
        where = {target.device for target in self._module.parameters()}
        return sum(kept.numel() * kept.element_size() for kept in self._kept.values() if kept.device in where)

    @torch.no_grad()
    def set(self, key: object, styles: StyleFactors) -> None:
        """Make exactly `styles` act; `key` names them, and the same key again costs nothing. Raises ModelUnavailable."""
        if key == self._applied:
            return
        self.clear()
        targets = parameters(self._module)
        shapes = shapes_of(targets)
        acting = [(placed(changes, shapes), weight) for changes, weight in styles]
        touched = dict.fromkeys(name for changes, _ in acting for name in changes)
        try:
            for device in {targets[name].device for name in touched}:
                self._patch({name: targets[name] for name in touched if targets[name].device == device}, acting, device)
        except BaseException:
            # Whatever it was, running out of memory say: a weight half patched would show in everybody's next image.
            self.clear()
            raise
        self._applied = key

    def _patch(self, targets: dict[str, Tensor], styles: StyleFactors, device: torch.device) -> None:
        """Change the parameters `targets`, all of which are on `device`."""
        here = [({name: change for name, change in changes.items() if name in targets}, weight) for changes, weight in styles]
        moved = on_device(here, device)
        for name, target in targets.items():
            self._kept[name] = kept_copy(target)
            _add(target, [(changes[name], weight) for changes, weight in moved if name in changes])

    @torch.no_grad()
    def clear(self) -> None:
        """Take all styles off and forget the kept weights."""
        if self._kept:
            targets = parameters(self._module)
            for name, kept in self._kept.items():
                targets[name].copy_(kept)
        self._kept = {}
        self._applied = ()
