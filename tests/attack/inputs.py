"""Fuzzed inputs and tables for predict, parse, explain, check and train; a process of its own, since it forks.

    python tests/attack/inputs.py FOLDER SECONDS SEED

Prints one JSON object per attack. A command may work, or say in one line what is wrong.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.damage import flipped, noise, truncated
from attack.tiny import prepare
from nestree.cli.main import main

ROWS = 40
LONG = 3 * 10**7
ODD = (
    *(
        "",
        " ",
        "\t",
        "\0",
        "\r",
        "\ufeff",
        "\u2028",
        "\u202e",
        "\x1b[2J",
        "[/a]",
        "[red]",
        "e\u0301" * 50,
        "\U0001f469\u200d\U0001f52c",
    ),
    *('"', '"""', "'", "\\", "a\tb", "=1+1", "nan", "null", "-", "--", "1e999", "9" * 5_000, "x" * 100_000, "\ud800"),
)
"""Texts that readers may take for something else."""
ENCODINGS = (
    *(
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "rot13",
        "zlib_codec",
        "hex",
        "bz2",
        "undefined",
        "uu",
    ),
    *(
        "utf-7",
        "utf-16",
        "utf-16-le",
        "utf-32",
        "utf-8-sig",
        "cp037",
        "cp1252",
        "shift_jis",
        "iso2022_jp",
        "hz",
        "gb18030",
    ),
    *("", "x", "\0", "../utf-8", "utf_8" * 1000, "charmap", "mbcs", "ascii", "latin-1", "big5hkscs"),
)


def texts(rng: random.Random) -> list[str]:
    """Return texts, some of them odd."""
    return [rng.choice(ODD) if rng.random() < 0.3 else f"good film {number}" for number in range(rng.choice([1, ROWS]))]


def csv_file(rng: random.Random) -> bytes:
    """A CSV file, quoted or not."""
    quote = rng.choice(["", '"'])
    rows = [f"{quote}{text}{quote},{rng.randrange(3)}" for text in texts(rng)]
    return "\n".join(["text,label", *rows]).encode("utf-8", "surrogatepass")


def tsv_file(rng: random.Random) -> bytes:
    """A TSV file."""
    return csv_file(rng).replace(b",", b"\t")


def jsonl_file(rng: random.Random) -> bytes:
    """A file of JSON lines, some of whose values are of another kind."""
    values = [None, [], {}, 3, True, {"a": 1}, [[]], 1e999]
    lines = [
        json.dumps({"text": rng.choice(values) if rng.random() < 0.1 else text, "label": rng.choice(["0", 1, None])})
        for text in texts(rng)
    ]
    lines += rng.choice([[], ["[" * 100_000], ['{"a":' * 20_000], ["3"], ["NaN"], ['{"text": 9' + "9" * 10_000 + "}"]])
    return "\n".join(lines).encode()


def array_file(rng: random.Random) -> bytes:
    """A JSON array of texts."""
    return json.dumps(rng.choice([texts(rng), [[]], [3, None], {}, "x", [{"text": "a"}]])).encode()


def lines_file(rng: random.Random) -> bytes:
    """A text file."""
    return "\n".join(texts(rng)).encode("utf-8", "surrogatepass")


def xlsx_file(rng: random.Random) -> bytes:
    """An Excel workbook."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["text", "label"])
    for number in range(5):
        sheet.append([rng.choice(["good film", "=1/0", 3, None, True]), number % 2])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def parquet_file(rng: random.Random) -> bytes:
    """A Parquet file."""
    import pyarrow
    import pyarrow.parquet

    columns = {"text": ["good film", None, "bad"] * 5, "label": [0, 1, 1] * 5}
    if rng.random() < 0.3:
        columns["text"] = rng.choice([[b"\xff"] * 15, [[1]] * 15, [1.5] * 15])  # pyright: ignore[reportArgumentType]
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def repeated(start: bytes, part: bytes, size: int) -> bytes:
    """Return a gzipped file of a repeated part, which takes 1/1000 of its size."""
    content = io.BytesIO()
    with gzip.open(content, "wb", compresslevel=1) as file:
        file.write(start)
        block = part * (2**20 // len(part))
        for _ in range(size // len(block)):
            file.write(block)
    return content.getvalue()


def workbook_of(member: str, part: bytes, size: int, rng: random.Random) -> bytes:
    """Return a workbook one of whose files repeats a part."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx_file(rng))) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
        with new.open(member, "w", force_zip64=True) as file:
            for _ in range(size // 2**20):
                file.write(part * (2**20 // len(part)))
    return content.getvalue()


def large_file(rng: random.Random) -> tuple[str, bytes]:
    """Return name and content of a small file with a lot in it."""
    return rng.choice(
        [
            lambda: ("a.csv", b"text,label\n" + b"x" * 10**8 + b",1\n"),
            lambda: ("a.csv", b"text,label\n" + b"a " * (LONG // 2) + b",1\n"),
            lambda: ("a.csv", b'text,label\n"' + b"a\n" * (LONG // 2) + b'",1\n'),
            lambda: ("a.csv", b",".join(b"c%d" % number for number in range(100_000)) + b"\n" + b"," * 99_999),
            lambda: ("a.csv", b"," * LONG),
            lambda: ("a.jsonl", b'{"text": [' + b"0," * (LONG // 2) + b"0]}"),
            lambda: ("a.json", b"[" + b"0," * (LONG // 2) + b"0]"),
            lambda: ("a.txt.gz", repeated(b"", b"x", 2**31)),
            lambda: ("a.csv.gz", repeated(b"text,label\n", b"x", 2**31)),
            lambda: ("a.json.gz", repeated(b"[", b"0,", 2**31)),
            lambda: ("a.jsonl.gz", repeated(b'{"text": "', b"x", 2**31)),
            lambda: ("a.xlsx", workbook_of("xl/sharedStrings.xml", b"<si><t>a</t></si>", 2**28, rng)),
            lambda: ("a.xlsx", workbook_of("xl/worksheets/sheet1.xml", b"<c/>", 2**28, rng)),
        ]
    )()


def odd_packing(rng: random.Random) -> tuple[str, bytes]:
    """Return name and content of a damaged or unusual archive."""
    packed = gzip.compress(csv_file(rng))
    content = bytearray(xlsx_file(rng))
    central = content.find(b"PK\x01\x02")
    how = rng.randrange(6)
    if how == 0:
        return "a.csv.gz", packed[:10] + zlib.compress(b"x") + packed[30:]
    if how == 1:
        return "a.csv.gz", packed + rng.randbytes(20)
    if how == 2:
        content[6] |= 1  # encrypted
        content[central + 8] |= 1
    elif how == 3:
        content[8], content[central + 10] = 99, 99  # unknown method
    elif how == 4:
        content[central + 6] = 255  # version
    else:
        content[rng.randrange(central, len(content))] ^= 255
    return "a.xlsx", bytes(content)


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "a.csv": csv_file,
    "a.tsv": tsv_file,
    "a.jsonl": jsonl_file,
    "a.json": array_file,
    "a.txt": lines_file,
    "a.xlsx": xlsx_file,
    "a.parquet": parquet_file,
}


def fuzzed_file(rng: random.Random) -> tuple[str, bytes]:
    """Return name and content of a file, whole or damaged, maybe gzipped or of another kind than its name says."""
    dice = rng.random()
    if dice < 0.06:
        return large_file(rng)
    if dice < 0.2:
        return odd_packing(rng)
    name, make = rng.choice(sorted(KINDS.items()))
    content = make(rng)
    if rng.random() < 0.1:
        name = rng.choice(sorted(KINDS))
    for _ in range(rng.choice([0, 1, 1, 3])):
        content = rng.choice([truncated, flipped, flipped, noise])(content or b"x", rng)
    if rng.random() < 0.15 and not name.endswith(("xlsx", "parquet")):
        name, content = f"{name}.gz", gzip.compress(content)
        if rng.random() < 0.5:
            content = rng.choice([truncated, flipped])(content, rng)
    return name, content


def command(place: Path, file: Path, rng: random.Random) -> list[str]:
    """Return a command that reads the file, or odd texts."""
    run, name = str(place / "whole"), str(file)
    chosen = rng.choice(["predict", "predict", "parse", "explain", "check", "train", "texts"])
    encoding = ["--encoding", rng.choice(ENCODINGS)] if rng.random() < 0.3 else []
    if chosen == "texts":
        given = [text for text in texts(rng) if "\0" not in text and "\ud800" not in text and len(text) < 10_000]
        return [rng.choice(["predict", "parse", "explain"]), run, "--", *given]
    if chosen in ("parse", "explain"):
        return [chosen, run, *rng.choice([["--file", name], [name]]), *encoding]
    if chosen == "predict":
        more = rng.choice(
            [[], [], ["--text", rng.choice(["1", "x", "label"])], ["--delimiter", rng.choice([";", "tab", "ab"])]]
        )
        return ["predict", run, name, *encoding, *more]
    options = [f"--data.train={name}", "--data.task=own", *([f"--data.encoding={encoding[1]}"] if encoding else [])]
    if chosen == "check":
        return ["data", "check", name]
    # With patience 0 and one step, what is attacked is the preparation.
    return ["train", str(place / "recipe.yaml"), *options, "--trainer.max_steps=1", "--run", str(place / "new")]


def attack(place: Path, rng: random.Random) -> dict[str, object]:
    """Write a file and give it to a command."""
    for left in place.glob("a.*"):
        left.unlink()
    name, content = fuzzed_file(rng)
    file = place / name
    file.write_bytes(content)
    arguments = command(place, file, rng)
    ended = in_child(lambda: main(arguments), place / "output.txt", limit=LONGEST)
    os.system(f"rm -rf '{place / 'new'}' '{place / 'cache'}'") if arguments[0] == "train" else None
    shown = [argument[:80] for argument in arguments if not argument.startswith(str(place))]
    return {"file": name, "command": shown, "code": ended.code, "wrong": ended.wrong(), "memory": ended.memory}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    recipe = prepare(place)
    began = time.monotonic()
    ended = in_child(lambda: main(["train", str(recipe), "--run", str(place / "whole")]), place / "output.txt")
    if ended.code != 0:
        sys.exit(ended.output)
    rng = random.Random(seed)
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
