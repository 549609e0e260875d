"""The sentiment treebank: every node of a tree, the two numbers of classes, phrases, and what damage is called."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.tasks.text import TextTask
from nestree.tasks.text.datasets.sst import SST2, SST2_PHRASES, SST5, SST5_PHRASES, labelled_nodes, phrases
from nestree.tasks.text.official import OfficialOptions
from nestree.tasks.treebank import LabelledTree, over_tokens

FUN = "(4 (2 It) (4 (2 is) (3 fun)))"
DULL = "(1 (2 It) (1 (2 is) (0 dull)))"
EVEN = "(2 (2 It) (2 is))"


def folder(path: Path, **splits: str | bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in ("train", "dev", "test"):
        content = splits.get(name, f"{FUN}\n")
        (path / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(dataset, path: Path, split: str = "train") -> list[tuple[str, str]]:
    found = dataset.find(path)
    assert found is not None
    return [(row.texts[0], row.label) for row in dataset.read(found, split)]


def test_every_node_has_its_words_and_label_the_root_last():
    assert phrases(FUN) == [("It", 2), ("is", 2), ("fun", 3), ("is fun", 4), ("It is fun", 4)]


def test_escaped_words_are_given_back_their_form():
    assert phrases("(2 (2 -LRB-) (2 (2 a\\/b) (2 -RRB-)))")[-1][0] == "( a/b )"


def test_a_no_break_space_stands_inside_a_word():
    assert phrases("(2 (2 8\xa01\\/2) (2 Women))")[0] == ("8\xa01/2", 2)


words = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="()\\-"), min_size=1, max_size=4)
leaves = st.tuples(st.integers(0, 4), words)
trees = st.recursive(leaves, lambda below: st.tuples(st.integers(0, 4), below, below), max_leaves=12)


def written(tree) -> str:
    return f"({tree[0]} {' '.join(part if isinstance(part, str) else written(part) for part in tree[1:])})"


def nodes(tree) -> list[tuple[str, int]]:
    if isinstance(tree[1], str):
        return [(tree[1], tree[0])]
    left, right = nodes(tree[1]), nodes(tree[2])
    return [*left, *right, (f"{left[-1][0]} {right[-1][0]}", tree[0])]


@given(trees)
def test_any_tree_that_is_written_is_read(tree):
    assert phrases(written(tree)) == nodes(tree)


@given(trees, st.data())
def test_no_tree_survives_a_parenthesis_taken_away(tree, data):
    text = written(tree)
    at = data.draw(st.sampled_from([index for index, letter in enumerate(text) if letter in "()"]))
    with pytest.raises(ValueError, match=r"^character "):
        phrases(text[:at] + text[at + 1 :])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("(4 (2 It) (4 fun)", "character 18: the tree is incomplete: 1 nodes are open"),
        ("(4 (2 It) (4 fun)))", r"character 19: '\)' is after the end of the tree"),
        ("(4 (2 It) (5 fun))", "character 11: a node begins with a label from 0 to 4, not '5'"),
        ("(4 (2 It) ( fun))", "character 11: a node begins with a label from 0 to 4, not ''"),
        ("(4 (2 It) (-1 fun))", "not '-1'"),
        ("It (4 fun)", "character 1: 'It' is not inside a node"),
        ("(4 (2 It))", "closes a node with 0 words and 1 nodes"),
        ("(4 It is)", "closes a node with 2 words and 0 nodes"),
        ("(4 It (2 is))", "closes a node with 1 words and 1 nodes"),
        ("(4 )", "closes a node with 0 words and 0 nodes"),
        ("(4 (2 a) (2 b) (2 c))", "closes a node with 0 words and 3 nodes"),
    ],
)
def test_a_damaged_tree_is_named(tmp_path, tree, message):
    path = folder(tmp_path, train=f"{FUN}\n{tree}\n")
    with pytest.raises(UserError, match=f"^{path / 'train.txt'}:2: .*{message}") as error:
        read(SST5, path)
    assert "\n" not in str(error.value)


def test_five_classes_keep_every_sentence_and_two_leave_out_the_neutral(tmp_path):
    path = folder(tmp_path, dev=f"{FUN}\n{EVEN}\n{DULL}\n(0 dull)\n(3 fun)\n")
    assert read(SST5, path, "validation") == [
        ("It is fun", "very positive"),
        ("It is", "neutral"),
        ("It is dull", "negative"),
        ("dull", "very negative"),
        ("fun", "positive"),
    ]
    assert read(SST2, path, "validation") == [
        ("It is fun", "positive"),
        ("It is dull", "negative"),
        ("dull", "negative"),
        ("fun", "positive"),
    ]


def test_phrases_are_for_training_only_and_each_is_there_once(tmp_path):
    path = folder(tmp_path, train=f"{FUN}\n{DULL}\n(3 It)\n", dev=f"{DULL}\n{DULL}\n")
    assert read(SST5_PHRASES, path) == [
        ("It", "neutral"),
        ("is", "neutral"),
        ("fun", "positive"),
        ("is fun", "very positive"),
        ("It is fun", "very positive"),
        ("dull", "very negative"),
        ("is dull", "negative"),
        ("It is dull", "negative"),
        ("It", "positive"),  # the same words with another label are another example
    ]
    assert read(SST5_PHRASES, path, "validation") == [("It is dull", "negative")] * 2
    assert ("is", "neutral") not in read(SST2_PHRASES, path)
    assert len(read(SST2_PHRASES, path)) == 7


def test_line_ends_byte_order_mark_and_blank_lines_do_not_matter(tmp_path):
    path = folder(tmp_path, train=b"\xef\xbb\xbf" + f"{FUN}\r\n\r\n{DULL}\r\n\n".encode())
    rows = list(SST5.read(path / "train.txt", "train"))
    assert [(row.texts[0], row.where) for row in rows] == [
        ("It is fun", f"{path / 'train.txt'}:1"),
        ("It is dull", f"{path / 'train.txt'}:3"),
    ]


def test_another_train_file_is_not_taken_for_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.txt").write_text("(see below)\n")
    assert SST5.find(tmp_path) is None
    assert SST5.find(tmp_path / "none") is None
    path = folder(tmp_path / "b" / "trees")
    assert SST5.find(tmp_path) == SST5.find(path) == SST5.find(path / "train.txt") == path / "train.txt"


def test_a_missing_split_and_a_wrong_encoding_are_named(tmp_path):
    path = folder(tmp_path, test=FUN.encode("utf-16"))
    with pytest.raises(UserError, match=r"test.txt:1: not UTF-8"):
        read(SST5, path, "test")
    (path / "dev.txt").unlink()
    with pytest.raises(UserError, match=r"dev.txt: missing; it is needed for the split validation"):
        read(SST5, path, "validation")


@pytest.mark.parametrize("dataset", [SST5, SST2, SST5_PHRASES, SST2_PHRASES], ids=lambda dataset: dataset.name)
def test_the_official_files_hold_what_is_published(dataset):
    found = dataset.find(Path(os.environ["NESTREE_DATA"])) if "NESTREE_DATA" in os.environ else None
    if found is None:
        pytest.skip("set NESTREE_DATA to a folder with the sentiment treebank's train.txt, dev.txt and test.txt")
    for split, about in dataset.splits.items():
        rows = list(dataset.read(found, split))
        assert len(rows) == about.size
        assert {row.label for row in rows} == set(dataset.label_names)
        assert all(row.texts[0].strip() for row in rows)


def labelled(task: TextTask, text: str) -> dict[str, str]:
    """The labels of a text's gold tree, by the tokens below each node."""
    (tokens,) = task.encode(text)
    gold = task.gold(tokens)
    assert gold is not None
    assert gold.tree.leaves == len(tokens)
    assert {*gold.spans, *((leaf, leaf + 1) for leaf in range(len(tokens)))} <= set(gold.tree.all_spans())
    words = task.words(tokens)
    return {" ".join(words[first:end]): task.label_names[label] for (first, end), label in gold.labels.items()}


def opened(path: Path, **options) -> TextTask:
    return OfficialOptions(path=str(path), **{"task": "sst5", **options}).open()


def test_every_node_of_a_sentence_has_its_label(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    path = folder(tmp_path / "sst", train=f"{FUN}\n{DULL}\n", test=f"{EVEN}\n")
    five = labelled(opened(path), "It is fun")
    assert five == {"it": "neutral", "is": "neutral", "fun": "positive", "is fun": "very positive",
        "it is fun": "very positive"}  # fmt: skip
    assert labelled(opened(path), "It is") == {"it": "neutral", "is": "neutral", "it is": "neutral"}
    assert labelled(opened(path, task="sst2"), "It is dull") == {
        "dull": "negative", "is dull": "negative", "it is dull": "negative"}  # fmt: skip


def test_only_whole_sentences_of_a_treebank_have_gold_trees(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    path = folder(tmp_path / "sst")
    task = opened(path)
    assert task.gold(*task.encode("is fun")) is None
    assert task.gold(np.array([], np.uint8)) is None
    phrase_task = opened(path, task="sst5-phrases")
    assert phrase_task.gold(*phrase_task.encode("It is fun")) is None
    without_files = OfficialOptions(task="sst5", path=str(tmp_path / "none")).open(task.state())
    assert without_files.gold(*task.encode("It is fun")) is None


def test_a_word_of_several_tokens_is_one_node_and_one_of_none_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    path = folder(tmp_path / "sst", train="(4 (3 (1 8\xa01\\/2) (2 \xa0)) (0 fun))\n")
    assert labelled(opened(path), "8\xa01/2 \xa0 fun") == {
        "8 1 / 2": "positive", "fun": "very negative", "8 1 / 2 fun": "very positive"}  # fmt: skip
    at_bytes = opened(path, level="byte")
    assert list(labelled(at_bytes, "8\xa01/2 \xa0 fun").values()) == [
        "negative", "neutral", "positive", "very negative", "very positive"]  # fmt: skip


@given(trees)
def test_gold_trees_have_the_labels_of_the_file(tree):
    numbers = {str(label): label for label in range(5)}
    found_words, found = labelled_nodes(written(tree))
    source = LabelledTree(tuple(found_words), tuple((first, end, str(label)) for first, end, label in found))
    gold = over_tokens(source, [1] * len(found_words), numbers)
    assert gold.labels == {(first, end): label for first, end, label in found}
    assert set(gold.tree.all_spans()) == set(gold.labels)
