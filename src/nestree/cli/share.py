"""``nestree share``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from nestree.cli.arguments import RUN, command_parser, parse_command
from nestree.consoles import messages, quoted, say
from nestree.data.files import replacing_folder
from nestree.errors import OptionError, UserError
from nestree.reports.card import LICENSE
from nestree.reports.packing import pack
from nestree.runs import SHARED, Run
from nestree.runs.hub import PREFIX, check_repository, upload


def main(arguments: Sequence[str]) -> int:
    """Upload a run's model to the Hugging Face Hub, and print its files, its page and how to use it from there."""
    parser = command_parser(
        "share",
        "Upload a run's model to the Hugging Face Hub: options, weights, results, a thinned training log, and the "
        "model card. They contain the paths and commands that you typed, and words and labels found in your own data.",
    )
    parser.add_argument("run", help=f"{RUN}.")
    parser.add_argument(
        "repository",
        type=str,
        nargs="?",
        help="OWNER/NAME on the Hub, created if it does not exist; log in with `hf auth login` first.",
    )
    parser.add_argument("--private", action="store_true", help="Make the repository private, if it is created.")
    parser.add_argument(
        "--license", type=str, default=LICENSE, help="License of the model, by its identifier on the Hub."
    )
    parser.add_argument(
        "--pack", type=str, metavar="DIR", help="Only write the files into this new folder; upload nothing."
    )
    parser.add_argument(
        "--transformers",
        type=str,
        metavar="DIR",
        help="Only write the model into this new folder as Hugging Face's transformers reads it; upload nothing.",
    )
    parsed = parse_command(parser, arguments)
    if parsed.transformers is not None:
        say(_for_transformers(parsed.run, Path(parsed.transformers)))
        return 0
    if parsed.repository is None:
        raise UserError("name the repository, OWNER/NAME, or --transformers with a folder to write")
    repository = parsed.repository.removeprefix(PREFIX)
    check_repository(repository)
    run, name = Run.open(parsed.run), f"{PREFIX}{repository}"
    if parsed.pack is not None:
        folder = Path(parsed.pack)
        if folder.exists():
            raise OptionError("pack", f"{folder} exists already: name a new folder")
        try:
            with replacing_folder(folder) as temporary:
                pack(run, temporary, name=name, license=parsed.license)
        except OSError as error:
            raise OptionError("pack", f"{folder} cannot be written ({error.strerror or error})") from None
        say(folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="nestree-share-") as folder:
        packed = pack(run, Path(folder), name=name, license=parsed.license)
        for path in packed.shared_files():
            messages().print(f"{path.name:<24}{path.stat().st_size:>12,} bytes")
        page = upload(packed.path, repository, SHARED, private=parsed.private)
    say(page)
    messages().print(f"use it as {name}, for example: nestree evaluate {quoted(name)}")
    return 0


def _for_transformers(run: str, folder: Path) -> Path:
    """Write a run for transformers, and return the folder."""
    if folder.exists():
        raise OptionError("transformers", f"{folder} exists already: name a new folder")
    try:
        from nestree.huggingface import save  # slow to import
    except ImportError as error:
        raise OptionError("transformers", str(error)) from None
    return save(run, folder)
