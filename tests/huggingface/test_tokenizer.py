"""The tokenizer for transformers gives the ids of the run's own vocabulary."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import nestree
from nestree.data.text import FIRST_WORDS, SPLITTER, SPLITTERS, WORDS, Vocabulary
from nestree.errors import UserError
from nestree.huggingface.expressions import oniguruma, ranges
from nestree.huggingface.tokenizer import fast_tokenizer
from nestree.tasks.text import TextTask
from nestree.tasks.text.own import OwnOptions

TEXTS = [
    "It's a rock'n'roll film, don't miss it!!! -- well... \u201cquoted\u201d\u2014dash",
    "caf\u00e9 e\u0301t\u00e9 \u00b2 \u00bd na\u00efve \u2019s 's 'sb _a_b-c_d 3.14 1,000.5 www.example.com",
    "\u039f\u0394\u039f\u03a3 \u039f\u0394\u039f\u03a3. \u0391\u03a3'\u0391 \u03a3",
    "\u03a3\u0391\u03a3\u0345\u03a3' x\u03a3\u0301 \u03a3y",
    "\u0130stanbul STRASSE Stra\u00dfe \u1e9e \ufb01ne \u01c5 \u2167",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u4e2d\u6587\u548c\u65e5\u672c\u8a9e \u30ab\u30bf\u30ab\u30ca",
    "\ud55c\uad6d\uc5b4 \u0639\u0631\u0628\u064a\u064c \u05e9\u05dc\u05d5\u05dd",
    "\U0001f642\U0001f642 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \u270c\U0001f3fd",
    "a\x1cb\x1fc\x85d\u3000e\u00a0f\u200bg\ufeffh\r\ni\tj\x00k\u00adl",
    "<pad> <unknown> [PAD] </s> \\u0041 $A #1 @x",
    "word",
]
KINDS = [(level, splitter) for level in ("word", "char") for splitter in SPLITTERS] + [("byte", SPLITTER)]
ODD = "\u03a3\u03c3\u0391\u00bd\u0301\u200d\u0345\u4e2d\n\x1f"
PIECES = st.sampled_from([*"aAbsS'\u2019-_.,!? 1", *ODD, "ll", "\u0915\u094d"])
ANY = st.lists(PIECES, max_size=30).map("".join) | st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30)


def task(level: str, splitter: int = SPLITTER, *, sides: int = 1, words: list[str] | None = None) -> TextTask:
    state: dict[str, Any] = {"labels": ["a", "b"], "splitter": splitter}
    if level != "byte":
        state |= Vocabulary.count(TEXTS if words is None else words, level, splitter=splitter).state()
    return OwnOptions(task="own", level=level, text2="second" if sides == 2 else None).open(state)


@pytest.fixture(scope="module")
def pairs_of_tokenizers() -> dict[tuple[str, int], tuple[TextTask, PreTrainedTokenizerFast]]:
    return {kind: (made := task(*kind), fast_tokenizer(made)) for kind in KINDS}


def assert_same(mine: TextTask, theirs: PreTrainedTokenizerFast, text: str) -> None:
    found = theirs(text)["input_ids"]
    wanted = mine.encode(text)[0].tolist()
    assert found == wanted or (found == [] and wanted == mine.encode("")[0].tolist()), text


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(text=ANY)
def test_ids_are_those_of_the_run(
    pairs_of_tokenizers: dict[tuple[str, int], tuple[TextTask, PreTrainedTokenizerFast]],
    kind: tuple[str, int],
    text: str,
) -> None:
    assert_same(*pairs_of_tokenizers[kind], text)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_ids_are_the_same_after_saving(kind: tuple[str, int], tmp_path: Path) -> None:
    mine = task(*kind, words=TEXTS[1:])
    fast_tokenizer(mine).save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "", "  ", " ".join(TEXTS)):
        assert_same(mine, theirs, text)
    assert theirs.pad_token_id == 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


def test_the_texts_of_a_pair_have_types() -> None:
    mine = task("word", sides=2)
    found = fast_tokenizer(mine)("it's a film", "don't")
    first, second = (part.tolist() for part in mine.encode("it's a film", "don't"))
    assert found["input_ids"] == first + second
    assert found["token_type_ids"] == [0] * len(first) + [1] * len(second)


def test_only_texts_have_a_tokenizer() -> None:
    with pytest.raises(UserError, match="task listops has no tokenizer"):
        fast_tokenizer(nestree.Run.open("listops-rir").task)


@pytest.mark.parametrize(
    "pattern",
    [
        FIRST_WORDS,
        WORDS,
        re.compile(r"s\b|\bt+|[^\s]"),
        regex.compile(r"[[\p{L}\p{M}]--[\p{Greek}_]]+ | \p{WB=Extend} | \X  # a comment [", regex.V1 | regex.VERBOSE),
        regex.compile(r"(?<=\p{Nd})[.,](?=\p{Nd})|\P{L}", regex.V1),
    ],
    ids=["first words", "words", "boundaries", "sets", "lookaround"],
)
@given(text=ANY)
def test_an_expression_matches_the_same_in_the_other_engine(
    pattern: re.Pattern[str] | regex.Pattern[str], text: str
) -> None:
    split = pre_tokenizers.Split(Regex(oniguruma(pattern)), "removed", invert=True)
    assert [piece for piece, _ in split.pre_tokenize_str(text)] == [match[0] for match in pattern.finditer(text)]


def test_ranges_leave_out_surrogates() -> None:
    assert ranges(r"[\ud7fe-\ue001]") == r"[\x{d7fe}-\x{d7ff}\x{e000}-\x{e001}]"
    assert normalizers.Replace(Regex(ranges(r"[^a]")), "x").normalize_str("ab\U0010ffff") == "axx"
