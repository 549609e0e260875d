"""The model, as transformers calls it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from nestree.data.batches import PADDING
from nestree.huggingface.configuration import NestreeConfig


class NestreeForSequenceClassification(PreTrainedModel):
    """A [`nestree.Classifier`][nestree.models.Classifier] that is called as models of transformers are.

    Padding may be on either side, as long as ``attention_mask`` marks it. The two texts of a pair follow each other,
    and ``token_type_ids`` are 1 at the second, as the tokenizer writes them.
    """

    config_class = NestreeConfig
    main_input_name = "input_ids"
    _no_split_modules = ["Classifier"]  # noqa: RUF012 (transformers declares it without ClassVar)

    def __init__(self, config: NestreeConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = config.build()
        for parameter in self.parameters():
            # So that transformers leaves it as it is; a checkpoint's model is built on the meta device, without values.
            parameter._is_hf_initialized = not parameter.is_meta  # pyright: ignore[reportAttributeAccessIssue]
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of the tokens."""
        return self.model.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Set the embedding of the tokens, as when the vocabulary is resized."""
        assert isinstance(value, nn.Embedding)
        self.model.embedding = value
        self.model.vocabulary_size = value.num_embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Return the logits (B, labels), and the loss if there are labels.

        Args:
            input_ids: token ids (B, L).
            attention_mask: 1 at tokens and 0 at padding, (B, L); None: all but ``pad_token_id`` are tokens.
            token_type_ids: for pairs, 0 at the first text and 1 at the second, (B, L).
            labels: (B,) numbers of classes; or as ``config.problem_type`` says.
            return_dict: false for a tuple.
            kwargs: ignored, but for the loss (``num_items_in_batch``).

        Raises:
            ValueError: a model for pairs gets no ``token_type_ids``, or a token id is not in the vocabulary.
        """
        tokens, lengths = self._sequences(input_ids, attention_mask, token_type_ids)
        logits = self.model(tokens, lengths)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _sequences(self, ids: Tensor, mask: Tensor | None, types: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the tokens of each text, padded at the end, and their lengths; the sides of a pair are neighbours."""
        ids = ids.long()  # a batch of empty texts has no type
        real = ids != self.config.pad_token_id if mask is None else mask.bool()
        if self.config.sides == 2:
            if types is None:
                raise ValueError("a model for pairs needs token_type_ids: 0 at the first text, 1 at the second")
            real = torch.stack([real & (types == side) for side in (0, 1)], dim=1).flatten(0, 1)
            ids = ids.repeat_interleave(2, dim=0)
        if self.config.max_tokens is not None:
            real = real & (real.cumsum(dim=1) <= self.config.max_tokens)
        lengths = real.sum(dim=1)
        longest = int(lengths.max()) if len(lengths) else 0
        first = torch.argsort(~real, dim=1, stable=True)[:, :longest]  # tokens before padding, in their order
        tokens = ids.gather(1, first).masked_fill(~real.gather(1, first), PADDING)
        if longest == 0:
            tokens = tokens.new_full((len(tokens), 1), PADDING)
        tokens[:, 0] = torch.where(lengths == 0, self.config.empty_token_id, tokens[:, 0])
        return tokens, lengths.clamp(min=1)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialize a module that a checkpoint lacks as PyTorch and nestree do."""
        own = list(module.parameters(recurse=False))
        reset = getattr(module, "reset_parameters", None)
        if callable(reset) and not all(getattr(parameter, "_is_hf_initialized", False) for parameter in own):
            reset()
