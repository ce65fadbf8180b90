"""Hub ids: a repository at one commit, from the local cache; online only when told to."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from inference.models import BadModel
from inference.models.files import CODE, Folder, printable

CACHE: Path | None = None
"""The hub's cache folder; None is its own default (HF_HOME)."""
WANTED = ("model_index.json", "*/*.json", "*/merges.txt", "*/*.safetensors")
"""What is fetched; never pickles, never code."""


def snapshot(repo: str, commit: str | None, *, download: bool) -> Folder:
    """The folder of ``repo`` at ``commit``. Raises BadModel.

    Goes online only with ``download`` or where the environment's ``FALOPITAS_ALLOW_DOWNLOAD`` is 1.
    The commit must be given in full: a name that can move would let a stranger change what is drawn with.
    """
    if commit is None:
        raise BadModel("model_missing", f"{repo}: name its commit too, {repo}@<40 hex digits>")
    download = download or os.environ.get("FALOPITAS_ALLOW_DOWNLOAD") == "1"
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        if download:
            _refuse_code(repo, commit)
        at = snapshot_download(
            repo, revision=commit, local_files_only=not download, allow_patterns=list(WANTED), cache_dir=CACHE
        )
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise BadModel("model_missing", f"{repo}@{commit[:8]}") from error
    root = Path(at)
    # The cache keeps snapshots/<commit>/file as links into its own blobs/ beside it.
    return Folder(root, within=root.parent.parent)


def _refuse_code(repo: str, commit: str) -> None:
    from huggingface_hub import HfApi

    for name in HfApi().list_repo_files(repo, revision=commit):
        if PurePosixPath(name).suffix.lower() in CODE:
            raise BadModel("model_remote_code", f"{repo}: {printable(name)}")
