"""A commit that writes the whole new file, on the condition that the old version still stands."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import IO

from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.files._view import View
from nwbpipe.files._write_lock import translate_access_errors
from nwbpipe.stores import RangedFile, Store, scratch_folder

_PIECE = 8 * 2**20


class FileReplacement:
    """A commit to one file of a store that has conditional writes, and copies nothing by itself.

    Parameters
    ----------
    store : Store
    name : str
        The file.
    old : RangedFile
        The version that the change began with.
    """

    def __init__(self, store: Store, name: str, old: RangedFile) -> None:
        self.store, self.name, self.old = store, name, old

    def run(self, view: View) -> None:
        """Write the new file in the old one's place.

        Raises
        ------
        ConflictError
            If the store no longer has the old version. Nothing was written.
        FileAccessError
            If it could not be written; the message says so if it is not known whether it was.
        """
        if view.new_end == view.old_end and next(view.changed_pages(), None) is None:
            return
        folder = scratch_folder()
        with translate_access_errors(folder, "building the new file"):
            _require_space(folder, view.new_end)
            with tempfile.NamedTemporaryFile(dir=folder, prefix="commit-") as file:
                digest = _copy_view(view, file)
                file.flush()
                self._put(Path(file.name), view.new_end, digest)

    def _put(self, new: Path, size: int, digest: bytes) -> None:
        """Store the new file; if that fails, find out what became of it."""
        try:
            self.store.put_file(new, self.name, if_tag=self.old.tag)
        except NwbpipeError as error:
            try:
                entry = self.store.stat(self.name)
                if entry.tag == self.old.tag and not isinstance(error, ConflictError):
                    raise error from None
                if entry.size == size and self._read_digest() == digest:  # only the answer was lost
                    return
            except NwbpipeError as second:
                if second is error:
                    raise
            if isinstance(error, ConflictError):
                raise
            msg = "the store was lost at the moment of the commit: it may or may not stand"
            hint = "the file is whole, old or new: look at it (nwbpipe log) when the store can be reached again"
            raise FileAccessError(msg, where=self.old.location, found=error.problem.what, hint=hint) from error

    def _read_digest(self) -> bytes:
        digest = hashlib.sha256()
        with self.store.open(self.name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.digest()


def _copy_view(view: View, file: IO[bytes]) -> bytes:
    """Write the new file that a view holds; return its SHA-256."""
    digest = hashlib.sha256()
    for offset in range(0, view.new_end, _PIECE):
        piece = view.read_new(offset, _PIECE)
        file.write(piece)
        digest.update(piece)
    return digest.digest()


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        msg = "no space to build the new file"
        raise FileAccessError(
            msg,
            where=str(folder),
            expected=f"{size / 1e6:.0f} MB free",
            found=f"{free / 1e6:.0f} MB",
            hint="free space on that disk, or set NWBPIPE_SCRATCH to another; the file is as it was",
        )
