"""A commit that writes what changed, or the whole new file, on the condition that the old version still stands."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.files._view import View
from nwbpipe.files._write_lock import translate_access_errors
from nwbpipe.stores import FileChanges, RangedFile, Store, scratch_folder

_PIECE = 8 * 2**20


class FileReplacement:
    """A commit to one file of a store that has conditional writes.

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
        changed = [(offset, offset + len(data)) for offset, data in view.changed_pages()]
        if view.new_end == view.old_end and not changed:
            return
        changes = FileChanges(view.old_end, view.new_end, changed, view.read_new)

        def put_changes() -> bool:
            return self.store.put_changes(self.name, changes, if_tag=self.old.tag) is not None

        if self._put(put_changes, view.new_end, lambda: _hash_view(view)):
            return
        folder = scratch_folder()
        with translate_access_errors(folder, "building the new file"):
            _require_space(folder, view.new_end)
            with tempfile.NamedTemporaryFile(dir=folder, prefix="commit-") as file:
                digest = _copy_view(view, file)
                file.flush()

                def put_file() -> bool:
                    return bool(self.store.put_file(Path(file.name), self.name, if_tag=self.old.tag))

                self._put(put_file, view.new_end, lambda: digest)

    def _put(self, put: Callable[[], bool], size: int, compute_digest: Callable[[], bytes]) -> bool:
        """Store the new file, and return what `put` returns; if that fails, find out what became of it."""
        try:
            return put()
        except NwbpipeError as error:
            try:
                entry = self.store.stat(self.name)
                if entry.tag == self.old.tag and not isinstance(error, ConflictError):
                    raise error from None
                if entry.size == size and self._read_digest() == compute_digest():  # only the answer was lost
                    return True
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


def _hash_view(view: View) -> bytes:
    """Return the SHA-256 of the new file that a view holds."""
    digest = hashlib.sha256()
    for offset in range(0, view.new_end, _PIECE):
        digest.update(view.read_new(offset, _PIECE))
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
