"""`nestree data check`: each format is recognised, verified and counted; damage is one line and exit code 2."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.cli.main import main
from nestree.errors import UserError
from nestree.tasks.base import Row
from nestree.tasks.checks import FORMATS, PartReport, Report, Spread, recognise
from nestree.tasks.checks.tally import MOST_REMARKS, Counting, Part, Tally, spread, words
from nestree.tasks.text import DATASETS

REVIEWS = "Sentiment\tText\nNegative\tDull.\nPositive\tFun.\n"
NLI = {"gold_label": "neutral", "sentence1": "A cat.", "sentence2": "A dog."}
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhat?\tWhy?\t0\n1\t3\t4\tWho?\tWho is it?\t1\n"
CAT, DOG = "( ( A cat ) sleeps )", "( ( A dog ) ( is awake ) )"

FILES: dict[str, dict[str, str]] = {
    "ListOps": {
        "test_d20s.tsv": "9\t( ( ( [MAX 2 ) 9 ) ] )\n3\t3\n",
        "basic_val.tsv": "Source\tTarget\n( ( ( [SM 5 ) 6 ) ] )\t1\n",
    },
    "logical inference": {"train1": "#\ta\t( not b )\n", "test0": "#\ta\tb\n=\ta\ta\n"},
    "aclImdb": {
        f"aclImdb/{split}/{kind}/0_{rating}.txt": f"{split} was {kind}"
        for split in ("train", "test")
        for kind, rating in (("neg", 1), ("pos", 10))
    },
    "counterfactual reviews": {
        f"{part}/{name}.tsv": REVIEWS.replace("Dull", f"Dull {part} {name}")
        for part in ("new", "orig")
        for name in ("train", "dev", "test")
    },
    "contrast reviews": {"dev_contrast.tsv": REVIEWS, "test_contrast.tsv": REVIEWS.replace(".", "!")},
    "AAN pairs": {
        f"new_aan_pairs.{part}.tsv": f"1.0\t7\t8\tOne {part}\tTwo\n0.0\t7\t9\tOne\tThree {part}\n"
        for part in ("train", "eval", "test")
    },
    "SST trees": {
        f"{part}.txt": f"(4 (2 {part}) (4 works))\n(0 (2 {part}) (0 fails))\n" for part in ("train", "dev", "test")
    },
    "sentence polarity": {
        "rt-polarity.neg": "dull\n" + "".join(f"bad {n}\n" for n in range(9)),
        "rt-polarity.pos": "fun\n" + "".join(f"good {n}\n" for n in range(9)),
    },
    "SICK": {"SICK_train_parsed.txt": f"NEUTRAL\t{CAT}\t{DOG}\n", "SICK_trial_parsed.txt": f"NEUTRAL\t{DOG}\t{CAT}\n"},
    "SNLI": {"snli_1.0_dev.jsonl": json.dumps(NLI) + "\n", "snli_1.0_test.jsonl": json.dumps(NLI) + "\n"},
    "MNLI": {"multinli_1.0_dev_matched.jsonl": json.dumps(NLI) + "\n"},
    "QQP": {"train.tsv": QQP, "dev.tsv": QQP.replace("Why", "Where")},
    "word vectors": {"glove.6B.3d.txt": "the 0.1 -2 3e-2\ncat 1 2 3\n"},
    "a table, your own data": {"mine.csv": "text,label\ngood,1\n"},
}

DAMAGED: dict[str, tuple[str, str, str]] = {
    "ListOps": ("test_d20s.tsv", "8\t( ( ( [MAX 2 ) 9 ) ] )\n", "test_d20s.tsv:1: the label is 8"),
    "logical inference": ("test0", "#\ta\tb\n^\ta\ta\n", "test0:2: the relation is '^', but the truth tables show '='"),
    "aclImdb": ("aclImdb/test/neg/7_8.txt", "x", "7_8.txt: the rating 8 does not fit the folder neg"),
    "counterfactual reviews": ("orig/dev.tsv", f"{REVIEWS}Mixed\tx\n", "dev.tsv:4: the sentiment must be"),
    "contrast reviews": ("test_contrast.tsv", f"{REVIEWS}x\n", "test_contrast.tsv:4: 1 column; a row has 2"),
    "AAN pairs": ("new_aan_pairs.eval.tsv", "2.0\t1\t2\ta\tb\n", "new_aan_pairs.eval.tsv:1: the label must be"),
    "SST trees": ("dev.txt", "(4 (2 It) (4 works)\n", "dev.txt:1: character 20: the tree is incomplete"),
    "sentence polarity": ("rt-polarity.pos", "", ""),
    "SICK": ("SICK_trial_parsed.txt", f"NEUTRAL\t( {CAT}\t{DOG}\n", "SICK_trial_parsed.txt:1: the parse is incomplete"),
    "SNLI": ("snli_1.0_test.jsonl", "{}\n", "snli_1.0_test.jsonl:1: the field gold_label is missing"),
    "MNLI": ("multinli_1.0_dev_matched.jsonl", "[]\n", "matched.jsonl:1: a line is one JSON object"),
    "QQP": ("dev.tsv", QQP + "2\t5\t6\ta\tb\tx\n", "dev.tsv:4: is_duplicate must be 0 or 1"),
    "word vectors": ("glove.6B.3d.txt", "the 1 2 3\ncat 1 two 3\n", "3d.txt:2: damaged; expected a word and 3"),
    "a table, your own data": ("mine.csv", "text,label\ngood,1\nbad\n", "mine.csv:3: 1 column, the header has 2"),
}
"""By format: a file to write over, with what, and the message; polarity, any bytes and one label a file, cannot be."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    return folder


def checked(path: Path) -> dict[str, Report]:
    return {kind.name: kind.check(found, lambda what, rows: None) for kind, found in recognise(path)}


def parts(report: Report) -> dict[str, PartReport]:
    return {part.name: part for part in report.parts}


def test_every_format_and_every_dataset_is_tried_here():
    assert [kind.name for kind in FORMATS] == list(FILES)
    assert len({dataset.find for dataset in DATASETS.values()}) <= len(FORMATS)


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_recognised_by_its_folder_and_by_each_of_its_files(tmp_path, name, capsys):
    folder = write(tmp_path / "some" / "where", FILES[name])
    assert list(checked(tmp_path)) == [name]
    assert main(["data", "check", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert name in printed
    assert "verified" in printed
    if name == "aclImdb":
        return  # a review alone is no dataset
    for file in FILES[name]:
        report = checked(folder / file)
        assert list(report) == [name], file
        read = sum(part.rows for part in report[name].parts)
        lines = len([line for line in FILES[name][file].splitlines() if line]) - ("\tText\n" in FILES[name][file])
        if name not in ("sentence polarity", "ListOps", "QQP", "word vectors", "a table, your own data"):
            assert read == lines, file  # of a file given, that file is read and no other


@pytest.mark.parametrize("name", [name for name, (_, _, message) in DAMAGED.items() if message])
def test_what_is_damaged_is_one_line_and_exit_code_2(tmp_path, name, capsys):
    file, content, message = DAMAGED[name]
    write(tmp_path, {**FILES[name], file: content})
    assert main(["data", "check", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert f"{name}, " in captured.out


def test_a_folder_of_many_has_a_block_for_each_and_damage_to_one_leaves_the_others(tmp_path, capsys):
    for number, (name, files) in enumerate(FILES.items()):
        write(tmp_path / str(number), files)
        assert list(checked(tmp_path / str(number))) == [name]
    assert list(checked(tmp_path)) == list(FILES)
    write(tmp_path / "1", {"test0": "=\ta\tb\n"})
    write(tmp_path / "6", {"test.txt": "(9 x)\n"})
    assert main(["data", "check", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("\nverified ") == len(FILES) - 2
    assert captured.err.count("\n") == 2
    assert "test0:1: the relation is '='" in captured.err
    assert "test.txt:1: character 1" in captured.err


def test_what_is_unknown_or_not_there_is_one_line_that_lists_what_is_known(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing of ours\n")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match=r"any of the known formats: ListOps \(label TAB.*SICK.*QQP.*vectors"):
            list(recognise(path))
    with pytest.raises(UserError, match="no such file or folder"):
        list(recognise(tmp_path / "none"))


def test_a_corpus_with_the_long_range_arenas_header_is_no_listops(tmp_path):
    write(tmp_path, {"corpus.tsv": "Source\tTarget\nGuten Tag\tGood day\n"})
    assert list(checked(tmp_path)) == ["a table, your own data"]


def test_a_table_is_read_to_its_end_and_its_columns_counted(tmp_path):
    rows = "".join(f"text {number},{number % 3}\n" for number in range(1_100))
    write(tmp_path, {"mine.csv": f"text,stars\n{rows},\n"})
    facts = checked(tmp_path)["a table, your own data"].facts
    assert facts["rows"] == "1,101"
    assert facts["column text"] == "over 1,000 different values, 1 empty"
    assert facts["column stars"] == "3 different values, 1 empty"
    write(tmp_path, {"mine.jsonl": '{"a": "x", "b": 1}\n{"a": null, "b": 1}\n{"b": 2.0}\n'})
    facts = checked(tmp_path / "mine.jsonl")["a table, your own data"].facts
    assert facts["column a"] == "1 different value, 2 empty"
    assert facts["column b"] == "2 different values, none empty"


def test_a_table_in_json_may_have_a_long_first_row(tmp_path):
    write(tmp_path, {"mine.jsonl": json.dumps({"text": "long " * 5_000, "stars": 5}) + "\n"})
    (report,) = checked(tmp_path).values()
    assert {"column text", "column stars"} <= set(report.facts)


@pytest.mark.parametrize("content", ["1,2\n3,4\n", "text\n", "a" * 200_000 + ",b\n", "a,a\n1,2\n", ""])
def test_what_has_no_header_is_no_table(tmp_path, content):
    write(tmp_path, {"mine.csv": content})
    with pytest.raises(UserError, match="any of the known formats"):
        list(recognise(tmp_path))


def test_listops_counts_roots_depths_and_lengths(tmp_path):
    write(tmp_path, {"test_d20s.tsv": "9\t[MAX 2 9 [MIN 4 7 ] ]\n1\t[SM 5 6 ]\n3\t3\n1\t[SM 5 6 ]\n"})
    (report,) = checked(tmp_path).values()
    part = parts(report)["test_d20s.tsv"]
    assert (part.rows, part.size, part.again, part.elsewhere) == (4, 10_000, 1, 0)
    assert part.counts == {"label": {"9": 1, "1": 2, "3": 1}, "root": {"[MAX": 1, "[SM": 2, "digit": 1}}
    assert [(s.least, s.median, s.greatest) for s in part.spreads.values()] == [(1, 4, 8), (0, 1, 2)]
    assert report.remarks == ["test_d20s.tsv: 4 rows, 9,996 fewer than the 10,000 of the official files"]


def test_logic_files_are_in_order_with_the_official_sizes_where_there_are_any(tmp_path):
    pair = "#\t( a ( and ( b ( or c ) ) ) )\td\n"
    long = "( a ( or " * 11 + "b" + " ) )" * 11
    names = {"train10": "", "test2": pair, "train2": pair, "test11": f"#\t{long}\tc\n"}
    write(tmp_path, {name: content for name, content in names.items() if content})
    (report,) = checked(tmp_path).values()
    assert [(part.name, part.size) for part in report.parts] == [("train2", 12_451), ("test2", 2_198), ("test11", None)]
    assert parts(report)["test2"].elsewhere == 1
    assert f"1 row of test2 is in train2 too, the first at {tmp_path / 'test2'}:1" in report.remarks


def test_an_archive_of_reviews_is_checked_as_it_is(tmp_path):
    with tarfile.open(tmp_path / "aclImdb_v1.tar.gz", "w:gz") as archive:
        for name, content in FILES["aclImdb"].items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    for path in (tmp_path, tmp_path / "aclImdb_v1.tar.gz"):
        (report,) = checked(path).values()
        assert {name: (part.rows, part.counts["label"]) for name, part in parts(report).items()} == {
            split: (2, {"negative": 1, "positive": 1}) for split in ("train", "test")
        }
    assert [path.name for path in tmp_path.iterdir()] == ["aclImdb_v1.tar.gz"]


def test_splits_that_are_not_there_and_the_sizes_that_differ_are_said(tmp_path):
    write(tmp_path, FILES["SICK"])
    (report,) = checked(tmp_path).values()
    assert report.remarks[0] == "test: missing (SICK_test_parsed.txt)"
    assert "train: 1 rows, 4,499 fewer than the 4,500 of the official files" in report.remarks[1]


def test_the_list_tells_which_splits_have_no_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    write(tmp_path, FILES["SICK"])
    assert main(["data", "list", "--path", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows = printed[printed.index("\u2502 sick ") :].splitlines()[:3]
    assert [row.split("\u2502")[2].strip() for row in rows] == ["train", "validation", "test"]
    assert [row.split("\u2502")[5].strip() for row in rows] == ["files found", "files found", "files missing"]


def test_oddities_are_counted_with_the_first_place(tmp_path):
    texts = ["( ( a cat ) sleeps )", "fine (as it is)", "\ufffdber", "bell \x07"]
    rows = "".join(f"Positive\t{text}\n" for text in texts)
    write(tmp_path, {"test_contrast.tsv": f"Sentiment\tText\n{rows}"})
    (report,) = checked(tmp_path).values()
    path = tmp_path / "test_contrast.tsv"
    odd = [remark for remark in report.remarks if remark.startswith("1 row with")]
    assert [(remark.split()[3], remark.rpartition(":")[2]) for remark in odd] == [
        ("consecutive", "2"),
        ("a", "4"),
        ("control", "5"),
    ]
    assert all(f"the first at {path}:" in remark for remark in odd)


def test_vectors_count_words_that_stand_again_or_hold_spaces(tmp_path):
    (tmp_path / "some.vec").write_bytes(b"4 2\nthe 1 2\nthe 3 4\n. . 5 6\nna\xefve 7 8\n")
    (report,) = checked(tmp_path).values()
    assert report.facts == {"words": "4", "width": "2"}
    assert [remark.split(" ", 1) for remark in report.remarks] == [
        ["1", "words are duplicates, whose vectors are not used"],
        ["1", "words are not UTF-8"],
        ["1", "words contain a space, or their lines have too many numbers"],
    ]


texts = st.lists(st.tuples(st.sampled_from(["a", "b c", "", " ", "d e f"]), st.sampled_from("xy")), min_size=1)


@given(st.lists(texts, min_size=1, max_size=4))
def test_a_tally_counts_as_a_naive_count_does(splits):
    tally = Tally(Counting({"words": words}))
    for number, split in enumerate(splits):
        rows = [Row((text,), label, f"{number}:{place}") for place, (text, label) in enumerate(split)]
        tally.count(Part(str(number), rows.__iter__, len(rows)), lambda what, done: None)
    before: set[str] = set()
    for part, split in zip(tally.parts, splits, strict=True):
        here = [text for text, _ in split]
        assert part.elsewhere == sum(text in before for text in here)
        fresh = [text for text in here if text not in before]
        assert part.again == len(fresh) - len(set(fresh))
        assert part.counts["label"] == Counter(label for _, label in split)
        assert part.empty == sum(not text.strip() for text in here)
        lengths = sorted(len(text.split()) for text in here)
        middle = lengths[(len(lengths) - 1) // 2]
        assert part.spreads["words"] == Spread(lengths[0], middle, lengths[-1])
        before.update(here)
    firsts: dict[str, str] = {}
    contrary = sum(firsts.setdefault(text, label) != label for split in splits for text, label in split)
    said = [remark for remark in tally.remarks() if "before with another label" in remark]
    assert bool(said) == bool(contrary)
    assert all(remark.startswith(f"{contrary} row") for remark in said)


def test_many_remarks_are_cut_short_and_nothing_has_no_spread():
    tally = Tally(Counting({}))
    for number in range(12):
        rows = [Row((text,), "x", "here") for text in (f"of {number}", f"of {number - 1}")]
        tally.count(Part(str(number), rows.__iter__), lambda what, done: None)
    remarks = tally.remarks()
    assert len(remarks) == MOST_REMARKS + 1
    assert remarks[-1] == "3 more pairs of parts share rows"
    with pytest.raises(ValueError, match="at least one"):
        spread({})
    with pytest.raises(UserError, match="none: has no rows"):
        tally.count(Part("none", lambda: iter(())), lambda what, done: None)
