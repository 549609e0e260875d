"""Trained models on the Hugging Face Hub, through its own library, which is an extra.

A repository holds what a run folder does: options, weights as safetensors, results, a card. Nothing else is fetched,
and nothing of it is run or unpickled.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from nestree.errors import UserError

PREFIX = "hf:"
"""What a model of the Hub begins with where a run folder could stand, too."""

LOG_IN = "log in with `hf auth login`"

_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}", re.ASCII)


def download(address: str, files: tuple[str, ...]) -> Path:
    """Return the folder of the Hub's cache that holds a model's files, fetched unless they are there.

    Without a network the newest files that were fetched before are taken.

    Args:
        address: ``hf:OWNER/NAME``, or ``hf:OWNER/NAME@REVISION`` for a branch, a tag or a commit.
        files: the names of those to fetch.

    Raises:
        UserError: it is no address, the extra is not installed, there is no such model, or the Hub cannot be reached.
    """
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(name) or address.endswith("@"):
        raise UserError(f"{address}: a model of the Hub is hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    library = _library(address)
    try:
        found = library.snapshot_download(name, revision=revision or None, allow_patterns=list(files))
    except Exception as error:  # of the network, of permissions, of names: dozens of types
        raise UserError(f"{address}: {_reason(library, error)}") from None
    return Path(found)


def upload(folder: Path, name: str, files: tuple[str, ...], *, private: bool) -> str:
    """Upload a folder's files to a repository, which is made unless it is there, and return the page's address.

    Args:
        folder: all of it is uploaded, in one commit.
        name: ``OWNER/NAME``.
        files: names that a model's files may have; what else is in the repository is left alone.
        private: of a repository that is made: for its owner's eyes alone.

    Raises:
        UserError: the name is none, the extra is not installed, nobody is logged in, or the Hub refuses.
    """
    check_repository(name)
    library = _library(name)
    try:
        api = library.HfApi()
        page = api.create_repo(name, private=private, exist_ok=True)
        # A file of an earlier model that this one does not have is deleted.
        api.upload_folder(
            repo_id=name, folder_path=folder, delete_patterns=list(files), commit_message="Upload by nestree share"
        )
    except Exception as error:
        raise UserError(f"{name}: {_reason(library, error)}") from None
    return str(page)


def check_repository(name: str) -> None:
    """See that a name is that of a repository.

    Raises:
        UserError: it is none.
    """
    if not _REPOSITORY.fullmatch(name):
        raise UserError(f"{name}: a repository of the Hub is OWNER/NAME, with letters, digits, and . _ - in between")


def _library(what: str) -> ModuleType:
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]
        import huggingface_hub.errors  # pyright: ignore[reportMissingImports]
        import huggingface_hub.utils  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(f"{what}: needs huggingface_hub: pip install 'nestree[hub]'") from None
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    return huggingface_hub


def _reason(library: ModuleType, error: Exception) -> str:
    """Say in a few words what went wrong, and what helps where that is known."""
    errors = library.errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RevisionNotFoundError):
        return "the model has no such revision (a branch, a tag or a commit)"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner has to let you in: ask on the model's page, and {LOG_IN}"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"the Hub asks who you are: {LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):  # what a stranger is told of a private one, too
        return f"there is no such model on the Hub, or only for those who may see it: {LOG_IN}"
    if status in (401, 403):
        return f"the Hub does not allow it: {LOG_IN}, with a token that may do this there"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the Hub cannot be reached, and the model was not fetched before"
    if isinstance(error, errors.OfflineModeIsEnabled) or type(error).__module__.startswith("httpx"):
        return "the Hub cannot be reached"
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"the Hub's library says: {reason[:300]}"
