"""A pretrained language model as the embedding: its token states are what the encoder reads."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Integer
from safetensors import SafetensorError
from torch import Tensor, nn

from nestree.data.batches import PADDING
from nestree.data.language_model import OPTION, ModelTokens, silent_transformers
from nestree.errors import OptionError

LONGEST = 100_000
"""Larger limits of length are none: tokenizers write 10^30."""

HELD = 2
"""Frozen models that a process keeps, for all classifiers together."""


class LanguageModel(nn.Module):
    """Maps token ids (B, L) to the last hidden states of a language model, (B, L, E), as an embedding does.

    Each text is given to the model with its special tokens around it, whose states are left out. A text that is longer
    than the model reads is cut into consecutive windows, as few and as equal as possible, each read by itself.

    A frozen model is no part of ``parameters()`` and ``state_dict()``, and always in evaluation mode; all classifiers
    of a process share it.

    Args:
        tokens: the model's folder and tokens.
        trained: train it; false freezes it.

    Raises:
        UserError: the model cannot be read, does not fit its tokenizer, or is another than a run was trained on.
    """

    def __init__(self, tokens: ModelTokens, *, trained: bool) -> None:
        super().__init__()
        tokens.check_weights()
        self.trained = trained
        model = load_model(tokens) if trained else frozen_model(tokens)
        if trained:
            self.model = model
        else:
            self._shared = _Shared(model)
        self.width: int = model.config.hidden_size
        self.before, self.behind = tokens.frame()
        self.window = longest_text(tokens, model.config) - len(self.before) - len(self.behind)
        pad = tokens.tokenizer.pad_token_id
        self.pad = 0 if pad is None else pad
        if self.window < 1:
            raise OptionError(OPTION, f"cannot be used: {tokens.folder} reads no more than its special tokens")

    def language_model(self) -> nn.Module:
        """Return the model of transformers."""
        return self.model if self.trained else self._shared.model

    def forward(self, tokens: Integer[Tensor, "b l"]) -> Float[Tensor, "b l e"]:
        """Return the states of the tokens; those of the padding (0) are zero."""
        model = self.language_model()
        ids, mask, inside, outside = (part.to(tokens.device) for part in self._windows(tokens.cpu()))
        if self.trained:
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        else:
            with torch.no_grad():
                hidden = model.to(tokens.device)(input_ids=ids, attention_mask=mask).last_hidden_state
        states = hidden.new_zeros(tokens.numel(), self.width)
        return states.index_copy(0, outside, hidden.flatten(0, 1).index_select(0, inside)).unflatten(0, tokens.shape)

    def _windows(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ids and mask of all windows (W, M), and the places of the tokens in them and in the batch."""
        spans = [
            (row, start, end)
            for row, length in enumerate(tokens.ne(PADDING).sum(1).tolist())
            for start, end in spans_of(length, self.window)
        ]
        first, longest = len(self.before), max(end - start for _, start, end in spans)
        width = first + longest + len(self.behind)
        ids, mask = torch.full((len(spans), width), self.pad), torch.zeros(len(spans), width, dtype=torch.int64)
        inside, outside = [], []
        for place, (row, start, end) in enumerate(spans):
            window = [*self.before, *(tokens[row, start:end] - 1).tolist(), *self.behind]
            ids[place, : len(window)] = torch.tensor(window)
            mask[place, : len(window)] = 1
            inside.append(torch.arange(end - start) + place * width + first)
            outside.append(torch.arange(start, end) + row * tokens.shape[1])
        return ids, mask, torch.cat(inside), torch.cat(outside)

    def extra_repr(self) -> str:
        """Name the width, and whether it is trained."""
        return f"width={self.width}, window={self.window}, trained={self.trained}"


class _Shared:
    """Holds a module that is not to be registered, nor copied with its owner."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def spans_of(length: int, window: int) -> list[tuple[int, int]]:
    """Cut a text of ``length`` tokens into consecutive spans of at most ``window``, as few and as equal as possible.

    Examples:
        >>> spans_of(10, 4)
        [(0, 3), (3, 6), (6, 10)]
    """
    count = math.ceil(length / window)
    ends = [length * number // count for number in range(count + 1)]
    return list(pairwise(ends))


def load_model(tokens: ModelTokens) -> Any:
    """Return the model in evaluation mode, without a head or a pooling layer; of two stacks, the encoder.

    Raises:
        UserError: the model cannot be read, or has fewer embeddings than its tokenizer has tokens.
    """
    from transformers import AutoModel

    try:
        with silent_transformers():
            model, report = AutoModel.from_pretrained(
                tokens.folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        line = str(error).strip().partition("\n")[0]
        raise OptionError(OPTION, f"has no model that can be read: {tokens.folder} ({line})") from None
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise OptionError(OPTION, f"cannot be used: {tokens.folder} has no weights for {missing[0]}")
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    if model.get_input_embeddings().num_embeddings < len(tokens) - 1:
        raise OptionError(OPTION, f"cannot be used: {tokens.folder} has more tokens than embeddings")
    return model.eval()


def frozen_model(tokens: ModelTokens) -> Any:
    """Return the model without gradients, loaded once as long as it is among the last [`HELD`][]."""
    key = (tokens.folder, tokens.weights_digest)
    model = _FROZEN.pop(key, None) or load_model(tokens).requires_grad_(requires_grad=False)
    _FROZEN[key] = model
    for oldest in list(_FROZEN)[:-HELD]:
        del _FROZEN[oldest]
    return model


_FROZEN: dict[tuple[Path, str], Any] = {}


def longest_text(tokens: ModelTokens, config: Any) -> int:
    """Return how many tokens the model reads at once, special tokens included."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and config.model_type in OFFSET:
        positions -= (config.pad_token_id or 0) + 1  # their first position is behind that of the padding
    try:
        sentences = json.loads((tokens.folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        trained = sentences.get("max_seq_length")
    except (OSError, ValueError, AttributeError):
        trained = None
    limits = [limit for limit in (positions, tokens.tokenizer.model_max_length, trained) if limit and limit > 0]
    return min([*limits, LONGEST])


OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "longformer", "data2vec-text")
"""Kinds of models whose positions begin at the number of the padding plus 1."""
