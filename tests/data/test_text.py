"""From text to ids and back: bytes, characters, words, and the vocabulary."""

import json
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data.text import (
    BYTE_IDS,
    FIRST_SPLITTER,
    FIRST_WORD,
    UNKNOWN,
    Vocabulary,
    encode_text,
    normal,
    spaceless_share,
    tokens_of,
)

# Characters that join, extend or separate words, and of scripts with rules of their own, come often.
SPECIAL = "aA\u00e9e\u0301'\u2019-.,1\u0662\"! \u200b\u200c\u200d\ufeff\u00ad\u0130\u03a3\u05d0\u093f\u0e2a\u0e33\u102c"
SPECIAL += "\u0f66\u0fb2\u6f22\u304b\u30ab\u30fc\U0001f600\U0001f3fd\U0001f1e9\U0001f1ea"
anything = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from(SPECIAL))
levels = st.sampled_from(["char", "word"])


@given(anything)
def test_bytes_come_back(text):
    ids = encode_text(text, "byte")
    assert ids.dtype == np.uint8
    assert ids.min() >= 1
    assert ids.max() < BYTE_IDS
    assert (ids - np.uint8(1)).tobytes() == (text.encode() or b" ")


@given(anything, st.integers(1, 8))
def test_at_most_so_many_bytes_are_kept_even_inside_a_character(text, most):
    assert encode_text(text, "byte", None, most).tolist() == encode_text(text, "byte").tolist()[:most]


@given(st.lists(anything), levels)
def test_known_tokens_come_back(texts, level):
    vocabulary = Vocabulary.count(texts, level)
    names = [None, "<unknown>", *vocabulary.words]
    for text in texts:
        ids = encode_text(text, level, vocabulary)
        assert [names[number] for number in ids] == (list(tokens_of(text, level)) or ["<unknown>"])
        assert ids.dtype == vocabulary.dtype
        assert ids.max() < len(vocabulary)


@given(st.lists(anything), levels, st.integers(0, 6), st.integers(1, 3))
def test_the_vocabulary_is_the_most_frequent_in_a_fixed_order(texts, level, size, least):
    counts = Counter(token for text in texts for token in tokens_of(text, level))
    vocabulary = Vocabulary.count(texts, level, size=size, least=least)
    ranked = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))
    assert list(vocabulary.words) == ranked[:size]
    assert Vocabulary.count(reversed(texts), level, size=size, least=least).words == vocabulary.words
    assert [vocabulary.ids[word] for word in vocabulary.words] == list(range(FIRST_WORD, len(vocabulary)))


@given(anything)
def test_cutting_what_was_joined_changes_nothing(text):
    words = list(tokens_of(text, "word"))
    assert list(tokens_of(" ".join(words), "word")) == words
    assert "".join(tokens_of(text, "char")) == normal(text)


@given(anything)
def test_cutting_what_the_first_rules_joined_changes_nothing(text):
    words = list(tokens_of(text, "word", FIRST_SPLITTER))
    assert list(tokens_of(" ".join(words), "word", FIRST_SPLITTER)) == words
    assert "".join(tokens_of(text, "char", FIRST_SPLITTER)) == text


@given(st.text(st.characters(max_codepoint=127) | st.sampled_from("'-.,1a! ")))
def test_ascii_text_is_split_by_the_same_rules_as_any(text):
    # A word of another script at the end leads to the rules for any text.
    assert [*tokens_of(text, "word"), "漢"] == list(tokens_of(f"{text} 漢", "word"))


@given(st.text(st.characters(max_codepoint=127, exclude_characters=".,") | st.sampled_from("'-1a! ")))
def test_ascii_words_are_those_of_the_first_rules_except_for_numbers(text):
    assert list(tokens_of(text, "word")) == list(tokens_of(text, "word", FIRST_SPLITTER))


@given(anything, levels)
def test_two_spellings_of_a_text_are_one(text, level):
    decomposed = unicodedata.normalize("NFD", text)
    assert list(tokens_of(decomposed, level)) == list(tokens_of(unicodedata.normalize("NFC", text), level))


@given(anything, st.integers(1, 5), levels)
def test_at_most_so_many_tokens_are_kept(text, most, level):
    vocabulary = Vocabulary.count([text], level)
    whole = encode_text(text, level, vocabulary).tolist()
    assert encode_text(text, level, vocabulary, most).tolist() == whole[:most]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's FUN!!!", ["it's", "fun", "!!!"]),
        ("it 's n't well-made", ["it", "'s", "n't", "well-made"]),
        ("a, b... (c)", ["a", ",", "b", "...", "(", "c", ")"]),
        ("\u00c9t\u00e9 21st\u2019s ?!", ["\u00e9t\u00e9", "21st\u2019s", "?", "!"]),
        ("3.14, 1,000. 2.5-inch 1,2,", ["3.14", ",", "1,000", ".", "2.5-inch", "1,2", ","]),
        ("see example.com", ["see", "example", ".", "com"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301 CAFÉ", ["caf\u00e9", "caf\u00e9"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001
        ("ക്\u200dഷ x", ["ക്\u200dഷ", "x"]),
        (
            "👩\u200d👩\u200d👧👍🏽🇩🇪🇫🇷 1\ufe0f\u20e3 😀😀",
            ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇫🇷", "1\ufe0f\u20e3", "😀", "😀"],
        ),
        ("今天很好。ok", ["今", "天", "很", "好", "。", "ok"]),
        ("ひらがなとカタカナー", ["ひ", "ら", "が", "な", "と", "カタカナー"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("น้ำดี", ["น้ำ", "ดี"]),
        ("မာမာ", ["မာ", "မာ"]),
        ('col·lega צה״ל צה"ל', ["col·lega", "צה״ל", 'צה"ל']),
        ("\ufeffone\u200btwo\u202f!", ["one", "two", "!"]),
        ("!!\u0301!", ["!", "!\u0301", "!"]),
        (" \t\n", []),
    ],
)
def test_words(text, words):
    assert list(tokens_of(text, "word")) == words


def test_the_first_rules_still_split_as_they_did():
    assert list(tokens_of("3.14 cafe\u0301 😀😀 今天", "word", FIRST_SPLITTER)) == [
        "3", ".", "14", "cafe", "\u0301", "😀😀", "今天"
    ]  # fmt: skip
    assert list(tokens_of("e\u0301", "char", FIRST_SPLITTER)) == ["e", "\u0301"]
    vocabulary = Vocabulary.count(["3.14"], "word", splitter=FIRST_SPLITTER)
    assert encode_text("14 3.14", "word", vocabulary, splitter=FIRST_SPLITTER).tolist() == [3, 4, 2, 3]
    assert encode_text("14 3.14", "word", vocabulary).tolist() == [3, UNKNOWN]


def test_bytes_are_those_of_the_text_as_it_is_written():
    assert encode_text("e\u0301", "byte").tolist() == [number + 1 for number in "e\u0301".encode()]


def test_the_share_of_letters_in_scripts_without_spaces():
    assert spaceless_share({"今": 2, "ok": 1, "!": 50, "42": 50}) == 0.5
    assert spaceless_share({"カー": 1, "ส": 1, "ລ": 1, "ក": 1, "မ": 1, "བོད": 1}) == 1
    assert spaceless_share({"한국어": 3, "हिन्दी": 2}) == spaceless_share({}) == 0


def test_unknown_words_and_empty_texts_are_one_id():
    vocabulary = Vocabulary(("film", "good"))
    assert encode_text("A good FILM", "word", vocabulary).tolist() == [UNKNOWN, 3, 2]
    assert encode_text("", "word", vocabulary).tolist() == [UNKNOWN]
    assert encode_text("", "byte").tolist() == [ord(" ") + 1]
    with pytest.raises(ValueError, match="level word needs a vocabulary"):
        encode_text("film", "word")


def test_a_lone_surrogate_is_no_error():
    assert encode_text("a\ud800", "byte").tolist() == [ord("a") + 1, ord("?") + 1]
    assert Vocabulary.count(["\ud800"], "char").digest


@pytest.mark.parametrize(
    ("size", "dtype"), [(254, np.uint8), (255, np.uint16), (65_534, np.uint16), (65_535, np.uint32)]
)
def test_ids_take_the_smallest_type_that_holds_them(size, dtype):
    vocabulary = Vocabulary(tuple(map(str, range(size))))
    assert vocabulary.dtype == dtype
    assert encode_text(str(size - 1), "word", vocabulary).tolist() == [size + 1]


@given(st.lists(anything), levels)
def test_state_keeps_the_vocabulary(texts, level):
    vocabulary = Vocabulary.count(texts, level)
    again = Vocabulary.from_state(json.loads(json.dumps(vocabulary.state())))
    assert (again.words, again.digest) == (vocabulary.words, vocabulary.digest)
    assert Vocabulary((*vocabulary.words, "one more")).digest != vocabulary.digest
