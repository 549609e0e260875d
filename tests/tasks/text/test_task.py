"""Texts as a task: what is held out, what a run keeps, when the cache is used, and what is said of missing files."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.evaluation.evaluate_run import present_tests
from nestree.tasks import TASKS, Task
from nestree.tasks.base import Row
from nestree.tasks.official_files import find, first_line, under
from nestree.tasks.text import DATASETS, OfficialOptions, TextTask
from nestree.tasks.text.official import OfficialTexts
from nestree.tasks.text.task import held_out

TREES = {"train": "(4 (2 good) (4 film))\n(0 (2 bad) (0 film))\n", "dev": "(0 bad)\n", "test": "(4 (2 new) (4 film))\n"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NESTREE_DATA", raising=False)


@pytest.fixture
def sst(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "sst"
    folder.mkdir(parents=True)
    for name, content in TREES.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def opened(path: Path | None, state=None, **options) -> TextTask:
    options = {"task": "sst2", **options}
    return OfficialOptions(path=None if path is None else str(path), **options).open(state)


def words_of(task: TextTask, split: str) -> list[str]:
    assert task.vocabulary is not None
    words = ["<padding>", "<unknown>", *task.vocabulary.words]
    examples = task.load(split)
    return [" ".join(words[token] for token in examples[place][0]) for place in range(len(examples))]


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_held_out_rows_are_of_each_label_by_its_share_to_within_one(counts, share, seed):
    labels = [str(label) for label, count in enumerate(counts) for _ in range(count)]
    wanted = int(share * len(labels))
    chosen = held_out(labels, wanted, seed)
    assert len(chosen) == wanted
    assert chosen == held_out(labels, wanted, seed)
    assert chosen <= set(range(len(labels)))
    of_label = Counter(labels[place] for place in chosen)
    for label, count in enumerate(counts):
        assert abs(of_label[str(label)] - wanted * count / len(labels)) <= 1


def test_held_out_rows_differ_with_the_seed():
    labels = ["a", "b"] * 50
    assert held_out(labels, 20, 0) != held_out(labels, 20, 1)


def test_state_opens_the_same_task_without_its_files(sst):
    task = opened(sst)
    state = json.loads(json.dumps(task.state()))
    assert state["labels"] == ["negative", "positive"]
    again = opened(None, state)
    assert again.state() == state
    assert again.vocabulary_size == task.vocabulary_size == 5
    for text in ("good film", "GOOD unheard-of film"):
        assert again.encode(text)[0].tolist() == task.encode(text)[0].tolist()
    assert task.encode("unheard-of")[0].tolist() == [1]
    assert opened(sst, level="byte").state() == {"labels": ["negative", "positive"]}


def test_official_datasets_are_split_as_their_results_were_measured(sst):
    (sst / "train.txt").write_text("(4 (2 cafe\u0301) (4 3.14))\n(0 bad)\n")
    task = opened(sst)
    assert task.vocabulary is not None
    assert set(task.vocabulary.words) == {"cafe", "\u0301", "3", ".", "14", "bad"}
    assert task.state().keys() == {"labels", "words"}
    assert opened(sst, task.state()).encode("3.14")[0].tolist() == task.encode("3.14")[0].tolist()


def test_a_split_is_read_once_and_again_when_a_file_of_the_dataset_changes(sst, monkeypatch):
    read: list[str] = []
    original = OfficialTexts.rows

    def rows(self: OfficialTexts, split: str):
        read.append(split)
        return original(self, split)

    monkeypatch.setattr(OfficialTexts, "rows", rows)
    assert not opened(sst).is_cached("train")
    assert words_of(opened(sst), "train") == ["good film", "bad film"]
    assert read == ["train", "train"]  # for the vocabulary, and for the split
    assert words_of(opened(sst), "train") == ["good film", "bad film"]
    assert words_of(opened(sst.parent), "train") == ["good film", "bad film"]
    assert opened(sst).is_cached("train")
    assert read == ["train", "train"]
    for name, split in (("dev", "validation"), ("test", "test"), ("train", "train")):
        opened(sst).load(split)
        file = sst / f"{name}.txt"
        file.write_text(file.read_text() + "(4 film)\n")
        assert not opened(sst).is_cached(split)
        assert words_of(opened(sst), split)[-1] == "film"
    assert words_of(opened(sst, max_tokens=1), "train") == ["good", "bad", "film"]


def test_a_file_that_is_only_touched_is_read_again(sst):
    opened(sst).load("validation")
    about = (sst / "dev.txt").stat()
    os.utime(sst / "dev.txt", ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert not opened(sst).is_cached("validation")


def reviews(path: Path) -> None:
    for name in ("train/neg/0_1.txt", "train/pos/0_9.txt", "test/neg/0_1.txt", "test/pos/0_9.txt"):
        (path / "aclImdb" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "aclImdb" / name).write_text(name)


def test_a_review_added_to_an_unpacked_archive_is_noticed(tmp_path):
    reviews(tmp_path / "data" / "imdb")
    before = OfficialTexts(DATASETS["imdb"], str(tmp_path), "paper", 0).fingerprint()
    assert before == OfficialTexts(DATASETS["imdb"], str(tmp_path), "paper", 0).fingerprint()
    (tmp_path / "data" / "imdb" / "aclImdb" / "test" / "pos" / "1_9.txt").write_text("more")
    later = OfficialTexts(DATASETS["imdb"], str(tmp_path), "paper", 0).fingerprint()
    assert before != later
    (tmp_path / "data" / "test_contrast.tsv").write_text("Sentiment\tText\n")
    assert later != OfficialTexts(DATASETS["imdb"], str(tmp_path), "paper", 0).fingerprint()


def test_every_dataset_says_which_files_a_split_is_read_from(tmp_path):
    for dataset in DATASETS.values():
        for split in dataset.splits:
            for path in dataset.files(tmp_path / "data" / "imdb" / "some.file", split):
                assert not path.exists()
                assert tmp_path in path.parents


def test_a_label_that_training_did_not_have_is_named_with_its_row(sst):
    state = {"labels": ["negative"], "words": ["film"]}
    with pytest.raises(UserError, match=r"train.txt:1: there is no label 'positive'; there are negative") as error:
        opened(sst, state).load("train")
    assert "\n" not in str(error.value)
    assert not list((sst.parents[1] / "cache").rglob("train-*"))


def test_the_path_goes_before_the_environment(sst, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    for name in TREES:
        (other / f"{name}.txt").write_text("(4 other)\n")
    monkeypatch.setenv("NESTREE_DATA", str(other))
    assert words_of(opened(None), "train") == ["other"]
    assert words_of(opened(sst), "train") == ["good film", "bad film"]
    monkeypatch.setenv("NESTREE_DATA", str(tmp_path / "nowhere"))
    assert words_of(opened(sst), "train") == ["good film", "bad film"]


@pytest.mark.parametrize("name", DATASETS)
def test_missing_files_are_one_line_that_says_what_and_from_where(tmp_path, name, monkeypatch):
    options = OfficialOptions(task=name)
    with pytest.raises(
        UserError, match=r"needs its files; data.path or NESTREE_DATA must name their folder \("
    ) as error:
        options.open().load("train")
    assert DATASETS[name].origin in str(error.value)
    assert "\n" not in str(error.value)
    monkeypatch.setenv("NESTREE_DATA", str(tmp_path))
    with pytest.raises(UserError, match=f"{name}: not found in {tmp_path}"):
        options.open().load("train")
    with pytest.raises(UserError, match=f"{name}: not found in {tmp_path / 'none'}"):
        OfficialOptions(task=name, path=str(tmp_path / "none")).open().load("train")


def test_splits_and_sizes_that_there_are_not_are_refused(sst):
    with pytest.raises(ValueError, match="split must be one of train, validation, test, not 'dev'"):
        opened(sst).load("dev")
    with pytest.raises(ValueError, match="size must be an integer of at least 1"):
        opened(sst).load("train", size=0)
    assert len(opened(sst).load("train", size=1)) == 1
    with pytest.raises(ValueError, match="an input of sst2 is one text, not 2"):
        opened(sst).encode("a", "b")


def test_a_split_without_rows_is_refused(sst):
    (sst / "dev.txt").write_text("(2 neutral)\n")
    with pytest.raises(UserError, match="sst2: split validation has no rows"):
        opened(sst).load("validation")


def test_baseline_strata_and_first_tests(sst):
    task = opened(sst)
    (sst / "train.txt").write_text("(0 bad)\n" + TREES["train"])
    train, test = task.load("train"), task.load("test")
    assert task.baseline(train, train) == 2 / 3
    assert task.baseline(train, test) == 0
    assert task.strata(train)["label"].tolist() == ["negative", "positive", "negative"]
    assert task.strata(train)["length"].tolist() == [1, 2, 2]
    assert task.first_tests == ("test",)


class Heard:
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def print(self, line: str) -> None:
        self.lines.append(line)


def there(task: Task, tests: tuple[str, ...]) -> tuple[list[str], list[str]]:
    console = Heard()
    return present_tests(task, tests, console), console.lines  # pyright: ignore[reportArgumentType]


def test_tests_without_files_are_left_out_and_said_but_named_they_are_an_error(tmp_path, sst):
    assert there(opened(sst), ("test",)) == (["test"], [])
    (sst / "test.txt").unlink()
    task = opened(sst)
    assert (task.is_there("train"), task.is_there("test")) == (True, False)
    tests, said = there(task, ("test",))
    assert tests == ["validation"]
    assert said == [
        "skipped, as the files are missing: test",
        "no test available: evaluating on validation, which the weights were selected by",
    ]
    with pytest.raises(UserError, match=r"test.txt: missing; it is needed for the split test"):
        task.load("test")
    assert task.load("validation").name == "sst2/validation"
    # Without any files, loading is left to say what is missing.
    assert there(opened(tmp_path / "none"), ("test",)) == (["test"], [])


def test_some_tests_without_files_leave_the_others(tmp_path):
    reviews(tmp_path / "data" / "imdb")
    task = opened(tmp_path, task="imdb")
    tests, said = there(task, task.first_tests)
    assert tests == ["test"]
    assert said == ["skipped, as the files are missing: counterfactual, contrast"]


@pytest.mark.parametrize("name", ["listops", "listops-lra", "logic"])
def test_what_is_generated_is_always_there(name):
    task = TASKS[name](task=name).open()
    assert all(task.is_there(split) for split in task.splits)
    assert not task.is_there("none")


def test_official_files_of_generated_tasks_are_there_or_not(tmp_path):
    for name in ("basic_train.tsv", "basic_val.tsv"):
        (tmp_path / name).write_text("Source\tTarget\n3\t3\n")
    lra = TASKS["listops-lra"](task="listops-lra", path=str(tmp_path)).open()  # pyright: ignore[reportCallIssue]
    assert [lra.is_there(split) for split in ("train", "validation", "test")] == [True, True, False]
    (tmp_path / "train6").write_text("#\ta\tb\n")
    (tmp_path / "test2").write_text("#\ta\tb\n")
    logic = TASKS["logic"](task="logic", path=str(tmp_path)).open()  # pyright: ignore[reportCallIssue]
    assert [logic.is_there(split) for split in ("train", "ops-2", "ops-3")] == [False, True, False]


def test_a_folder_that_cannot_be_read_is_named_or_below_passed_over(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "wanted").write_text("x")
    original = Path.iterdir

    def iterdir(path: Path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert find(tmp_path, ["wanted"]) == tmp_path / "open" / "wanted"
    with pytest.raises(UserError, match=r"closed: cannot be read \(Permission denied\)"):
        find(tmp_path / "closed", ["wanted"])
    with pytest.raises(UserError, match="closed: cannot be read"):
        opened(tmp_path / "closed").load("train")


def test_folders_are_searched_by_depth_and_only_so_deep(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for folder in (tmp_path / "z", deep):
        folder.mkdir(exist_ok=True)
        (folder / "wanted").write_text("x")
    assert find(tmp_path, ["wanted"]) == tmp_path / "z" / "wanted"
    assert find(tmp_path / "a", ["want*"], deepest=3) == deep / "wanted"
    assert find(tmp_path / "a", ["want*"], deepest=2) is None
    assert list(under(tmp_path / "none")) == [tmp_path / "none"]


def test_the_first_line_of_anything(tmp_path):
    (tmp_path / "two").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert (first_line(tmp_path / "two"), first_line(tmp_path / "two", behind=1)) == ("one", "two")
    assert first_line(tmp_path / "two", behind=2) == first_line(tmp_path) == first_line(tmp_path / "none") == ""


def test_pairs_have_two_sides_and_an_empty_text_is_one_unknown_word(tmp_path):
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    (tmp_path / "SICK_train.txt").write_text(f"{header}1\ta cat\t\t2\tNEUTRAL\n2\ta dog sleeps\tcat\t2\tENTAILMENT\n")
    task = opened(tmp_path, task="sick")
    examples = task.load("train")
    assert examples.sides == 2
    assert np.diff(examples.offsets).tolist() == [2, 1, 3, 1]
    assert examples[0][0].dtype == np.uint8
    assert [task.label_names[label] for label in examples.labels] == ["neutral", "entailment"]
    with pytest.raises(ValueError, match="an input of sick is two texts, separated by a tab, not 1"):
        task.encode("a cat")


def test_rows_of_the_splits_are_the_readers(sst):
    texts = OfficialTexts(DATASETS["sst2"], str(sst), "clean", 0)
    assert list(texts.rows("test")) == [Row(("new film",), "positive", f"{sst / 'test.txt'}:1")]
    assert texts.protocol == "official"
