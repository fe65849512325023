"""Write a proposal to a file, never over one that is there unless that was asked for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nwbpipe.disk import create_file, remove_file
from nwbpipe.errors import OverwriteError


def write_new(path: Path, text: str, kind: str, *, overwrite: bool = False) -> None:
    """Write a text file; one that is there is replaced as a whole, or not at all.

    Raises
    ------
    OverwriteError
        Something has the name already, and `overwrite` is False. The message calls it by its `kind`.
    """
    if overwrite and path.exists():
        replacement = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
        try:
            _create(replacement, text)
            replacement.replace(path)
        finally:
            remove_file(replacement)
        return
    try:
        _create(path, text)
    except FileExistsError as error:
        raise OverwriteError(
            f"there is a {kind} already",
            where=str(path),
            hint=f"write the proposal elsewhere with -o OUT{path.suffix} and compare; "
            f"--overwrite replaces the {kind}",
        ) from error


def _create(path: Path, text: str) -> None:
    with os.fdopen(create_file(path, mode=0o644), "w", encoding="utf-8") as file:
        file.write(text)
