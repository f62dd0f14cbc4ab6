"""Lets Pocket's modules load weights whose names are those of before the renaming (`catalog/legacy_keys.py`)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from torch import nn

from hypersd_app.catalog.legacy_keys import current_keys, rename_in_place


class LegacyKeysMixin:
    """For diffusers models: `from_pretrained` and `load_lora_adapter`, which pipelines call, accept old names."""

    def _fix_state_dict_keys_on_load(self, state_dict: MutableMapping[str, Any]) -> None:
        """diffusers' hook before it compares names; called for files that are not sharded."""
        rename_in_place(state_dict)
        super()._fix_state_dict_keys_on_load(state_dict)  # type: ignore[misc]

    def load_lora_adapter(self, pretrained_model_name_or_path_or_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """As diffusers', which also takes a path: what was read from one by a pipeline arrives here as a state dict."""
        given = pretrained_model_name_or_path_or_dict
        given = current_keys(given) if isinstance(given, Mapping) else given
        return super().load_lora_adapter(given, *args, **kwargs)  # type: ignore[misc]


def accept_legacy_keys(module: nn.Module) -> None:
    """Let `module.load_state_dict` accept old names; call once in the constructor of the outermost module that was renamed."""
    module.register_load_state_dict_pre_hook(_rename_before_loading)


def _rename_before_loading(_module: nn.Module, state_dict: MutableMapping[str, Any], *_unused: Any) -> None:
    rename_in_place(state_dict)
