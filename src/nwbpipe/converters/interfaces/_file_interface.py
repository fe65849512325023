"""What the interfaces of one file share: their arguments, their errors, and the words of their descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuroconv import BaseDataInterface

from nwbpipe.errors import SourceError


class FileInterface(BaseDataInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Base of interfaces that read one file.

    Parameters
    ----------
    arguments : mapping
        The arguments of the interface's constructor, as its ``locals()`` has them; `file_path` and `metadata_key`
        are among them. They become `source_data`, with paths as text.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        given = {key: value for key, value in arguments.items() if key not in ("self", "__class__")}
        super().__init__(**{key: str(value) if isinstance(value, Path) else value for key, value in given.items()})
        self.metadata_key: str = given["metadata_key"]
        self._path = Path(given["file_path"])
        self._notes: list[str] = []  # what was done to the file's content

    def _error(self, what: str, **more: Any) -> SourceError:
        return SourceError(what, **{"where": str(self._path), **more})

    def _describe(self, standard: str) -> str:
        return add_notes(self.source_data["description"] or standard, self._notes)


def add_notes(text: str, notes: Iterable[str]) -> str:
    """Return a description that ends with what was done to the file's content."""
    return "; ".join([text.rstrip("."), *notes]) + "."
