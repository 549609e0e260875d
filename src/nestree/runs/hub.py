"""Trained models on the Hugging Face Hub, through its library (extra ``nestree[hub]``).

A repository contains what a run folder does: options, weights as safetensors, results, a model card. Nothing else is
downloaded, and nothing is executed or unpickled.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from nestree.errors import UserError

PREFIX = "hf:"
"""Prefix of a model on the Hub, wherever a run folder is accepted too."""

LOG_IN = "log in with `hf auth login`"

_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}", re.ASCII)


def download(address: str, files: tuple[str, ...]) -> Path:
    """Return the folder in the Hub's cache with the files of a model, after downloading those that are missing.

    Without a network, the newest files downloaded before are used.

    Args:
        address: ``hf:OWNER/NAME``, or ``hf:OWNER/NAME@REVISION`` for a branch, a tag or a commit.
        files: names of the files to download.

    Raises:
        UserError: the address is malformed, the extra is not installed, there is no such model, or the Hub cannot be
            reached.
    """
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(name) or address.endswith("@"):
        raise UserError(f"{address}: a model on the Hub is written hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    library = _library(address)
    try:
        found = library.snapshot_download(name, revision=revision or None, allow_patterns=list(files))
    except Exception as error:  # dozens of types: network, permissions, names
        raise UserError(f"{address}: {_reason(library, error)}") from None
    return Path(found)


def upload(folder: Path, name: str, files: tuple[str, ...], *, private: bool) -> str:
    """Upload a folder to a repository, which is created if it does not exist, and return the address of its page.

    Args:
        folder: all of it is uploaded, in one commit.
        name: ``OWNER/NAME``.
        files: names that a model's files may have; other files in the repository are left alone.
        private: create the repository as private; an existing one is left as it is.

    Raises:
        UserError: the name is malformed, the extra is not installed, nobody is logged in, or the Hub refuses.
    """
    check_repository(name)
    library = _library(name)
    try:
        api = library.HfApi()
        page = api.create_repo(name, private=private, exist_ok=True)
        # Delete files of an earlier model that this one does not have.
        api.upload_folder(
            repo_id=name, folder_path=folder, delete_patterns=list(files), commit_message="Upload by nestree share"
        )
    except Exception as error:
        raise UserError(f"{name}: {_reason(library, error)}") from None
    return str(page)


def check_repository(name: str) -> None:
    """Check that a name is that of a repository, ``OWNER/NAME``.

    Raises:
        UserError: it is not.
    """
    if not _REPOSITORY.fullmatch(name):
        raise UserError(
            f"{name}: a repository on the Hub is written OWNER/NAME, in letters and digits, with . _ - in between"
        )


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
    """Return in a few words what went wrong and, where it is known, what helps."""
    errors = library.errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RevisionNotFoundError):
        return "the model has no such revision (a branch, a tag or a commit)"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner must grant you access: ask on the model's page, and {LOG_IN}"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"the Hub requires a login: {LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):  # also the answer for a private one without access
        return f"there is no such model on the Hub, or it is private: {LOG_IN}"
    if status in (401, 403):
        return f"the Hub refuses access: {LOG_IN}, with a token that has the permission"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the Hub cannot be reached, and the model was not downloaded before"
    if isinstance(error, errors.OfflineModeIsEnabled) or type(error).__module__.startswith("httpx"):
        return "the Hub cannot be reached"
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"the Hub's library says: {reason[:300]}"
