"""Write a proposal to a file, never over one that is there unless that was asked for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nwbpipe.disk import create_file, remove_file


def write_new(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a text file; one that is there is replaced as a whole, or not at all.

    Raises
    ------
    FileExistsError
        Something has the name already, and `overwrite` is False.
    """
    if not overwrite or not path.exists():
        with os.fdopen(create_file(path, mode=0o644), "w", encoding="utf-8") as file:
            file.write(text)
        return
    replacement = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        write_new(replacement, text)
        replacement.replace(path)
    finally:
        remove_file(replacement)
