"""aclImdb as a folder and as an archive, the two protocols, and the further tests beside it."""

import io
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.tasks.text.datasets.imdb import IMDB, LRA_TEXT, find_reviews, read_split
from nestree.tasks.text.official import OfficialTexts

HEADER = "Sentiment\tText\n"

REVIEWS = {
    "README": "about the reviews",
    "train/unsup/0_0.txt": "of no label",
    "train/neg/10_2.txt": "bad, ten",
    "train/neg/2_4.txt": "bad, two",
    "train/pos/0_7.txt": "good \u00e9tude",
    "train/pos/1_10.txt": "best",
    "train/urls_neg.txt": "http",
    "test/neg/0_1.txt": "worst",
    "test/pos/0_9.txt": "fine",
}
TRAIN = [
    ("bad, two", "negative"),
    ("bad, ten", "negative"),
    ("good \u00e9tude", "positive"),
    ("best", "positive"),
]


def folder(path: Path, files: dict[str, str] = REVIEWS) -> Path:
    for name, content in files.items():
        (path / "aclImdb" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "aclImdb" / name).write_bytes(content.encode())
    return path


def archive(path: Path, files: dict[str, str] = REVIEWS, *, top: str = "aclImdb/") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path / "aclImdb_v1.tar.gz", "w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content.encode())
            members.addfile(member, io.BytesIO(content.encode()))
    return path


def read(path: Path, split: str = "train") -> list[tuple[str, str]]:
    found = find_reviews(path)
    assert found is not None
    return [(row.texts[0], row.label) for row in read_split(found, split)]


@pytest.mark.parametrize("make", [folder, archive])
def test_both_forms_read_the_same_in_the_order_of_label_and_number(tmp_path, make):
    make(tmp_path / "below")
    assert read(tmp_path) == TRAIN
    assert read(tmp_path, "test") == [("worst", "negative"), ("fine", "positive")]


def test_the_folder_itself_and_the_archive_itself_can_be_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "aclImdb").rename(tmp_path / "reviews")
    assert read(tmp_path / "reviews") == TRAIN
    archive(tmp_path / "packed", top="./aclImdb/")
    assert read(tmp_path / "packed" / "aclImdb_v1.tar.gz") == TRAIN


def test_an_archive_is_not_unpacked(tmp_path):
    archive(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    read(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("make", [folder, archive])
@pytest.mark.parametrize(("name", "rating"), [("neg/3_5.txt", 5), ("neg/3_7.txt", 7), ("pos/3_6.txt", 6)])
def test_a_rating_that_does_not_fit_its_folder_is_named(tmp_path, make, name, rating):
    make(tmp_path, {**REVIEWS, f"train/{name}": "x"})
    with pytest.raises(UserError, match=rf"aclImdb/train/{name}: the rating {rating} does not fit the folder") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_review_that_is_not_utf8_is_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "aclImdb" / "train" / "pos" / "1_10.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"pos/1_10.txt: not UTF-8"):
        read(tmp_path)


def test_a_damaged_archive_and_a_split_without_reviews_are_named(tmp_path):
    archive(tmp_path)
    path = tmp_path / "aclImdb_v1.tar.gz"
    whole = path.read_bytes()
    for cut in (4, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:-cut])
        with pytest.raises(UserError, match=r"aclImdb_v1.tar.gz: cannot be read"):
            read(tmp_path)
    path.write_bytes(whole[:60] + bytes(20) + whole[80:])
    with pytest.raises(UserError, match=r"aclImdb_v1.tar.gz: cannot be read"):
        read(tmp_path)
    path.write_bytes(b"not an archive")
    with pytest.raises(UserError, match=r"aclImdb_v1.tar.gz: cannot be read"):
        read(tmp_path)
    folder(tmp_path / "other", {"train/pos/0_9.txt": "x"})
    with pytest.raises(UserError, match=r"has no reviews in test/pos and test/neg"):
        read(tmp_path / "other", "test")


def test_an_empty_review_is_kept_and_counted(tmp_path, caplog):
    folder(tmp_path, {**REVIEWS, "test/pos/1_9.txt": ""})
    assert ("", "positive") in read(tmp_path, "test")
    assert [message.partition(": ")[2] for message in caplog.messages] == ["1 empty text becomes a single unknown word"]


def many(path: Path) -> Path:
    files = {
        f"{split}/{kind}/{number}_{rating}.txt": f"{split} {kind} {number}"
        for split in ("train", "test")
        for kind, rating, count in (("neg", 1, 40), ("pos", 10, 20))
        for number in range(count)
    }
    return folder(path, files)


def texts_of(texts: OfficialTexts, split: str) -> list[str]:
    return [row.texts[0] for row in texts.rows(split)]


def test_protocol_clean_holds_out_a_part_of_train_each_label_by_its_share(tmp_path):
    texts = OfficialTexts(LRA_TEXT, str(many(tmp_path)), "clean", seed=0)
    train, validation = texts_of(texts, "train"), texts_of(texts, "validation")
    assert len(validation) == 30  # of few rows at most half
    assert Counter(text.split()[1] for text in validation) == {"neg": 20, "pos": 10}
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(
        f"train {k} {n}" for k, c in (("neg", 40), ("pos", 20)) for n in range(c)
    )
    assert texts_of(texts, "test") == [row.texts[0] for row in read_split(texts.files, "test")]
    assert (texts.splits["train"].size, texts.splits["validation"].size) == (20_000, 5_000)
    again = OfficialTexts(LRA_TEXT, str(tmp_path), "clean", seed=0)
    assert texts_of(again, "validation") == validation
    other = OfficialTexts(LRA_TEXT, str(tmp_path), "clean", seed=1)
    assert texts_of(other, "validation") != validation


def test_protocol_paper_validates_on_test_and_says_so(tmp_path):
    texts = OfficialTexts(LRA_TEXT, str(many(tmp_path)), "paper", seed=0)
    assert texts_of(texts, "validation") == texts_of(texts, "test")
    assert len(texts_of(texts, "train")) == 60
    assert "not held out" in texts.splits["validation"].description
    assert texts.protocol == "paper"


def test_the_further_tests_lie_beside_the_reviews(tmp_path):
    tmp_path = tmp_path / "data"  # what lies beside it belongs to other tests
    folder(tmp_path / "imdb")
    found = IMDB.find(tmp_path)
    assert found == tmp_path / "imdb" / "aclImdb"
    texts = OfficialTexts(IMDB, str(tmp_path), "clean", seed=0)
    assert [texts.is_there(split) for split in texts.splits] == [True, True, True, False, False]
    for split, message in (("counterfactual", "new/test.tsv"), ("contrast", "test_contrast.tsv")):
        with pytest.raises(UserError, match=rf"{split}: its file {message} is not next to"):
            list(IMDB.read(found, split))
    (tmp_path / "counterfactual" / "new").mkdir(parents=True)
    (tmp_path / "counterfactual" / "new" / "test.tsv").write_text(f"{HEADER}Positive\tturned\n")
    (tmp_path / "test_contrast.tsv").write_text(f"{HEADER}Negative\tcontrasted\n")
    assert texts_of(texts, "counterfactual") == ["turned"]
    assert texts_of(texts, "contrast") == ["contrasted"]
    assert all(texts.is_there(split) for split in texts.splits)
