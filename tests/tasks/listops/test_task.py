"""ListOps as a task: what a trainer reads from it."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data import RaggedExamples
from nestree.tasks import TASKS, Task
from nestree.tasks.listops import SPLITS, VOCABULARY, ListOps, decode, depth, encode, evaluate, root_operator
from nestree.tasks.listops.reader import depths
from nestree.tasks.listops.task import ListOpsOptions

texts = st.lists(
    st.sampled_from(["7", "[MAX 1 2 ]", "[MAX 9 1 ]", "[MIN [MED 3 4 ] 9 ]", "[SM 9 [SM 1 [MAX 2 2 ] ] ]"]), min_size=1
)


def of(expressions: list[str]) -> RaggedExamples:
    sequences = [encode(text) for text in expressions]
    return RaggedExamples.from_sequences(sequences, [evaluate(tokens) for tokens in sequences], name="toy")


@pytest.mark.parametrize("name", [name for name in TASKS if name != "own"])  # which needs files
def test_every_task_has_what_a_trainer_needs(name):
    task: Task = TASKS[name](task=name).open()
    assert task.name == name
    assert task.sides in (1, 2)
    assert {"train", "validation"} < set(task.splits)
    assert set(task.first_tests) <= set(task.splits)
    assert task.protocol in ("generated", "official", "clean", "paper")
    assert all(about.description for about in task.splits.values())
    assert task.pretrained() is None


def test_listops_loads_its_splits(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path))
    task = ListOps()
    examples = task.load("args-15", size=4)
    assert examples.tokens.max() < task.vocabulary_size == len(VOCABULARY)
    assert examples.tokens.min() > 0
    assert set(task.splits) == set(SPLITS)
    assert [tokens.tolist() for tokens in task.encode("[MAX 2 9 ]")] == [[2, 8, 15, 5]]


def test_another_grammar_is_for_what_is_cut_from_the_pool(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path))
    for name in ("train", "near-iid"):
        monkeypatch.setitem(SPLITS, name, replace(SPLITS[name], size=300))
    two, published = ListOpsOptions(depth=3).open(), ListOpsOptions().open()
    assert not two.is_cached("near-iid")
    shallow = two.load("near-iid")
    assert two.is_cached("near-iid")
    assert not published.is_cached("near-iid")
    assert depths(shallow).max() == 2
    assert depths(published.load("near-iid")).max() > 2
    assert two.load("args-15", size=2).checksum == published.load("args-15", size=2).checksum
    more = ListOpsOptions(depth=4, max_args=8).open().load("train")
    texts = [decode(tokens) for tokens, _ in (more[number] for number in range(len(more)))]
    assert any(re.search(r"\[\w+( \d){7,8} \]", text) for text in texts)
    assert more.lengths.max() <= 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 2}, "depth must be an integer of at least 3"),
        ({"max_args": 1}, "max_args must be an integer of at least 2"),
        ({"max_args": 10}, r"depth must be lower .* up to 10 arguments: at 20 an expression has 6,649 nodes"),
    ],
)
def test_a_grammar_that_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        ListOpsOptions(**options)


@given(texts)
def test_strata_are_those_of_each_expression(expressions):
    examples = of(expressions)
    strata = ListOps().strata(examples)
    assert strata["length"].tolist() == [len(encode(text)) for text in expressions]
    assert strata["root operator"].tolist() == [root_operator(encode(text)) for text in expressions]
    assert strata["depth"].tolist() == [depth(encode(text)) for text in expressions]


@given(texts, texts)
def test_majority_by_root_counts_right_answers(train, test):
    def commonest(labels: list[int]) -> int:
        counts = Counter(labels)
        return min(counts, key=lambda label: (-counts[label], label))

    def answer(text: str) -> int:
        alike = [evaluate(encode(known)) for known in train if known.split()[0].isdigit() == text.isdigit()
                 and (text.isdigit() or known.split()[0] == text.split()[0])]  # fmt: skip
        return commonest(alike or [evaluate(encode(known)) for known in train])

    right = [answer(text) == evaluate(encode(text)) for text in test]
    assert ListOps().baseline(of(train), of(test)) == pytest.approx(sum(right) / len(right))


def test_majority_by_root_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one example"):
        ListOps().baseline(of(["3"]), of(["3"]).head(0))
