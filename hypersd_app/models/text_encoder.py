"""Pocket's text encoder: a BERT whose padding is silent, so that pipelines need not pass masks around."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions


class MaskedBertModel(BertModel):
    """BertModel that zeroes the hidden states of padded positions.

    A zero key and value is what cross-attention sees of padding, however long it is. The config sets
    `use_attention_mask`, by which `StableDiffusionPipeline` knows to pass the tokenizer's mask.
    Output 0: float, (B, L, D).
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=add_pooling_layer)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        if attention_mask is None:
            attention_mask = (input_ids != self.config.pad_token_id).to(torch.long)
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        hidden = output[0] * attention_mask.unsqueeze(-1).to(output[0].dtype)
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=hidden)
