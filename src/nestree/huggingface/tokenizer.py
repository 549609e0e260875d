"""A run's tokens as a tokenizer of the tokenizers library."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nestree.data import text as rules
from nestree.data.batches import PADDING
from nestree.data.text import BYTE_IDS, FIRST_SPLITTER, UNKNOWN, UNKNOWN_WORD, Vocabulary, encode_text
from nestree.errors import UserError
from nestree.huggingface.expressions import oniguruma, ranges
from nestree.tasks import Task
from nestree.tasks.text import TextTask

PADDING_WORD = "<pad>"
"""How padding is shown."""


def fast_tokenizer(task: Task) -> PreTrainedTokenizerFast:
    """Return a tokenizer that gives the ids of the task's own.

    Raises:
        UserError: the task is not one on texts.
    """
    if not isinstance(task, TextTask):
        raise UserError(f"task {task.name} has no tokenizer: only models of texts can be written for transformers")
    tokenizer = Tokenizer(models.WordLevel(_vocabulary(task), UNKNOWN_WORD))
    normalizer, tokenizer.pre_tokenizer = _rules(task.level, task.splitter)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    names = ["input_ids", "attention_mask"]
    if task.sides == 2:
        names.insert(1, "token_type_ids")
        tokenizer.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING_WORD,
        padding_side="right",
        truncation_side="right",
        model_input_names=names,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # a text that contains "<pad>" is a text
    )


def empty_id(task: TextTask) -> int:
    """Return the token that stands for a text without tokens."""
    return int(encode_text("", task.level, task.vocabulary)[0])


def _vocabulary(task: TextTask) -> dict[str, int]:
    """Return the id of each token; at byte level, of the character that the tokenizers library writes for each byte."""
    if task.level == "byte":
        written = _byte_characters()
        return {PADDING_WORD: PADDING, **{written[byte]: byte + 1 for byte in range(BYTE_IDS - 1)}}
    vocabulary = task.vocabulary
    if not isinstance(vocabulary, Vocabulary):
        raise UserError("a run on top of a language model (data.features) has that model's own tokenizer")
    return {PADDING_WORD: PADDING, UNKNOWN_WORD: UNKNOWN, **vocabulary.ids}


def _rules(level: str, splitter: int) -> tuple[normalizers.Normalizer | None, pre_tokenizers.PreTokenizer]:
    """Return what happens to a text before its tokens are looked up, as in [`nestree.data.text.tokens_of`][]."""
    one = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")
    if level == "byte":
        return None, pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), one])
    first = splitter == FIRST_SPLITTER
    if level == "char":
        return None if first else normalizers.NFC(), one
    words = Regex(oniguruma(rules.FIRST_WORDS if first else rules.WORDS))
    composed = [] if first else [normalizers.NFC()]
    normalizer = normalizers.Sequence([*composed, *_lower_case(), *composed])
    return normalizer, pre_tokenizers.Split(words, "removed", invert=True)


def _lower_case() -> list[normalizers.Normalizer]:
    """Return the lower case of Python, in which a sigma at the end of a word has a form of its own."""
    cased, between = ranges(r"[\p{Cased}--\p{Case_Ignorable}]"), ranges(r"\p{Case_Ignorable}")
    final = f"(?<={cased}{between}*)\u03a3(?!{between}*{cased})"
    return [normalizers.Replace(Regex(final), "\u03c2"), normalizers.Lowercase()]


def _byte_characters() -> dict[int, str]:
    """Return the character that the tokenizers library writes for each byte of UTF-8, as GPT-2 did."""
    printed = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + place) for place, byte in enumerate(others)}
