"""SICK in its three forms: with parses, one file for a split, one file for all; and binary parses themselves."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.tasks.text.datasets.parses import words_of
from nestree.tasks.text.datasets.sick import SICK

CAT, DOG = "( ( A cat ) sleeps )", "( ( A dog ) ( is awake ) )"
HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
WHOLE = "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\n"


def read(path: Path, split: str = "train") -> list[tuple[tuple[str, ...], str]]:
    found = SICK.find(path)
    assert found is not None
    return [(row.texts, row.label) for row in SICK.read(found, split)]


SLEEPS = ("A cat sleeps", "A dog is awake")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SICK_train_parsed.txt", f"NEUTRAL\t{CAT}\t{DOG}\nENTAILMENT\t{DOG}\t{CAT}\n"),
        (
            "SICK_train_parsed.txt",
            "%entailment_judgment\tsentence_A\tsentence_B\trelatedness_score\tpair_ID\n"
            f"NEUTRAL\t{CAT}\t{DOG}\t2.7\t1\r\nENTAILMENT\t{DOG}\t{CAT}\t3\t2\r\n",
        ),
        (
            "SICK_train.txt",
            f"{HEADER}1\tA cat sleeps\tA dog is awake\t2.7\tNEUTRAL\n2\tA dog is awake\tA cat sleeps\t3\tENTAILMENT\n",
        ),
        (
            "SICK.txt",
            f"\ufeff{WHOLE}1\tA cat sleeps\tA dog is awake\tNEUTRAL\t2.7\tTRAIN\n2\ta\tb\tCONTRADICTION\t1\tTEST\n"
            "3\tA dog is awake\tA cat sleeps\tENTAILMENT\t3\tTRAIN\n",
        ),
    ],
    ids=["parsed", "parsed-header-crlf", "official", "whole-mark"],
)
def test_every_form_reads_the_same(tmp_path, name, content):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).write_text(content, newline="")
    assert read(tmp_path) == [(SLEEPS, "neutral"), (SLEEPS[::-1], "entailment")]


def test_each_split_has_its_part_or_its_file(tmp_path):
    (tmp_path / "SICK.txt").write_text(
        f"{WHOLE}1\ta\tb\tNEUTRAL\t2\tTRAIN\n2\tc\td\tCONTRADICTION\t1\tTEST\n3\te\tf\tENTAILMENT\t3\tTRIAL\n"
    )
    assert read(tmp_path, "validation") == [(("e", "f"), "entailment")]
    assert read(tmp_path, "test") == [(("c", "d"), "contradiction")]
    (tmp_path / "SICK_test_annotated.txt").write_text(f"{HEADER}7\tg\th\t2\tNEUTRAL\n")
    assert read(tmp_path, "test") == [(("g", "h"), "neutral")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"NEUTRAL\t{CAT}", "2 columns; a row has 3"),
        (f"MAYBE\t{CAT}\t{DOG}", "the label must be one of entailment, neutral, contradiction, not 'MAYBE'"),
        (f"NEUTRAL\t{CAT}\t{DOG} )", r"token 11 of the parse, '\)', is after its end"),
        (f"NEUTRAL\t( {CAT}\t{DOG}", "the parse is incomplete: 1 parentheses are open"),
        (f"NEUTRAL\t( (A cat ) sleeps )\t{DOG}", r"token 2 of the parse, '\(A', has a parenthesis attached to it"),
        (f"NEUTRAL\t( A cat sleeps )\t{DOG}", r"token 5 of the parse, '\)', does not close a node of one or two parts"),
        (f"NEUTRAL\t( )\t{DOG}", r"token 2 of the parse, '\)', does not close"),
        (f"NEUTRAL\tA cat )\t{DOG}", "token 2 of the parse, 'cat', is after its end"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, message):
    path = tmp_path / "SICK_train_parsed.txt"
    path.write_text(f"NEUTRAL\t{CAT}\t{DOG}\n{row}\n")
    with pytest.raises(UserError, match=f"^{path}:2: {message}") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_missing_files_and_columns_are_named(tmp_path):
    (tmp_path / "SICK_train.txt").write_text(f"{HEADER}1\ta\tb\t2\tNEUTRAL\n")
    with pytest.raises(
        UserError, match=r"has no SICK_trial_parsed.txt or SICK_trial.txt or .* is needed for the split val"
    ):
        read(tmp_path, "validation")
    (tmp_path / "SICK.txt").write_text(f"{HEADER}1\ta\tb\t2\tNEUTRAL\n")
    with pytest.raises(UserError, match=r"SICK.txt:1: has no column SemEval_set"):
        read(tmp_path, "validation")


def test_other_files_of_that_name_are_not_taken_for_it(tmp_path):
    (tmp_path / "SICK_train.txt").write_text("patients\tbeds\n")
    assert SICK.find(tmp_path) is None


def test_empty_texts_are_kept_and_counted(tmp_path, caplog):
    (tmp_path / "SICK_train.txt").write_text(f"{HEADER}1\ta\t\t2\tNEUTRAL\n2\t\t \t2\tNEUTRAL\n")
    assert read(tmp_path) == read(tmp_path) == [(("a", ""), "neutral"), (("", " "), "neutral")]
    assert caplog.messages == [f"{tmp_path / 'SICK_train.txt'}: 3 empty texts become a single unknown word"]


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        ("Cats", "Cats"),
        ("( Cats )", "Cats"),
        ("( -LRB- ( 1\\/2 -RRB- ) )", "( 1/2 )"),
        ("( 1\xa01/2 :-RRB- )", "1\xa01/2 :)"),
    ],
)
def test_words_of_a_parse(parse, words):
    assert words_of(parse) == words


@given(st.recursive(st.just("word"), lambda below: st.builds("( {} {} )".format, below, below), max_leaves=20))
def test_words_of_any_parse_are_its_leaves(parse):
    assert words_of(parse) == " ".join(["word"] * parse.count("word"))
    with pytest.raises(ValueError, match="parse"):
        words_of(f"( {parse}")
    with pytest.raises(ValueError, match="parse"):
        words_of(f"{parse} )")


@pytest.mark.parametrize(("split", "size"), [("train", 4_500), ("validation", 500)])
def test_the_official_files_have_no_parenthesis_left_over(split, size):
    found = SICK.find(Path(os.environ["NESTREE_DATA"])) if "NESTREE_DATA" in os.environ else None
    if found is None:
        pytest.skip("set NESTREE_DATA to a folder with SICK_train_parsed.txt")
    rows = list(SICK.read(found, split))
    assert len(rows) == size
    assert not any("(" in text or ")" in text or not text.strip() for row in rows for text in row.texts)
