"""From text to ids and back: bytes, characters, words, and the vocabulary."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data.text import BYTE_IDS, FIRST_WORD, UNKNOWN, Vocabulary, encode_text, tokens_of

anything = st.text(st.characters(exclude_categories=("Cs",)))
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
    assert "".join(tokens_of(text, "char")) == text


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
        (" \t\n", []),
    ],
)
def test_words(text, words):
    assert list(tokens_of(text, "word")) == words


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
