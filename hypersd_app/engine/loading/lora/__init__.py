"""LoRA files as changes of weights, and patching them in so that every change can be undone exactly."""

from hypersd_app.engine.loading.lora.cache import FactorCache, StyleKey
from hypersd_app.engine.loading.lora.changes import Change, LowRank
from hypersd_app.engine.loading.lora.patch import StylePatch, fuse, parameters, placed
from hypersd_app.engine.loading.lora.reader import Changes, Factors, read_factors

__all__ = [
    "Change",
    "Changes",
    "FactorCache",
    "Factors",
    "LowRank",
    "StyleKey",
    "StylePatch",
    "fuse",
    "parameters",
    "placed",
    "read_factors",
]
