"""Session files that are NWB-Zarr folders: they are read in place, and never changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import NoReturn, TypeVar

import h5py

from nwbpipe.errors import DamagedFileError, UnsupportedFileError
from nwbpipe.files import FileCondition, Inspection, UnfinishedUpload
from nwbpipe.nwb_zarr import FolderImage, build_image, look_at_folder
from nwbpipe.provenance import Identity, IdentityResult, RemoteStat, find_identity
from nwbpipe.session._outside_media import locate_external_file
from nwbpipe.session._reader import SessionReader, Version
from nwbpipe.session._session_file import SessionChange, SessionFile

T = TypeVar("T")


class ZarrSessionFile(SessionFile):
    """An NWB-Zarr folder on this machine (Zarr 2, as hdmf-zarr writes it); see `SessionFile`.

    Reading it runs no code from it and follows no link out of it. What would change it is refused: `nwbpipe export
    FOLDER OUT.nwb --to hdf5` makes a file that can be changed.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.location = self._path = path.resolve()

    def __str__(self) -> str:
        return str(self._path)

    @property
    def folder(self) -> Path:
        """See `SessionFile.folder`: the folder that the NWB-Zarr folder is in."""
        return self._path.parent

    def version(self) -> RemoteStat:
        """See `SessionFile.version`: names, sizes and times of all that is in the folder."""
        return RemoteStat(*look_at_folder(self._path))

    @contextmanager
    def open(self, *, locked: bool = False) -> Iterator[SessionReader]:
        """See `SessionFile.open`; there is no lock."""
        version = self.version()
        file, source = _find_image(self._path, version.tag).open(str(self._path))
        try:
            with file, SessionReader(file, version) as reader:
                yield reader
        except Exception as error:
            if source.failure is not None and isinstance(error, OSError | DamagedFileError):
                msg = "a chunk of the NWB-Zarr folder can't be read"
                hint = "restore the folder from a copy, or install the package of its compression"
                cause = f"{type(source.failure).__name__}: {source.failure}"[:300]
                raise DamagedFileError(msg, where=str(self), found=cause, hint=hint) from source.failure
            raise

    def read(self, function: Callable[[SessionReader], T], *, locked: bool = False) -> T:
        """See `SessionFile.read`."""
        with self.open() as reader:
            return function(reader)

    def inspect(self, *, timeout: float = 120.0) -> Inspection:
        """See `SessionFile.inspect`: it is whole if hdmf can read its structure."""
        size = self.version().size
        try:
            with self.open():
                return Inspection(FileCondition.WHOLE, "", size, None, (), ())
        except DamagedFileError as error:
            reason = f"{error.problem.what}: {error.problem.found}"
            return Inspection(FileCondition.DAMAGED, reason, size, None, (), ())

    def identify(self, paths: Sequence[str], *, version: Version | None = None) -> list[Identity]:
        """See `SessionFile.identify`: they are hashed each time."""
        return self.read(lambda reader: [self._identify(reader.file, path) for path in paths])

    def look_up_identity(self, path: str, *, version: Version | None = None) -> Identity | None:
        """See `SessionFile.look_up_identity`: none is kept."""
        return None

    def _identify(self, file: h5py.File, path: str) -> Identity:
        result = find_identity(file, path, folder=self.folder)
        return Identity(result.identity, path, result.object_id, result.neurodata_type, False)

    @contextmanager
    def external_files(self) -> Iterator[Callable[[str, str], Path]]:
        """See `SessionFile.external_files`."""
        yield lambda name, where: locate_external_file(self.folder, name, where)

    def list_uploads(self) -> list[UnfinishedUpload]:
        """See `SessionFile.list_uploads`: a folder has none."""
        return []

    # What would change it -------------------------------------------------------------------------------------

    def require_changeable(self) -> NoReturn:
        """See `SessionFile.require_changeable`: no folder of NWB-Zarr can be changed."""
        msg = "an NWB-Zarr folder can be read, but not processed or changed"
        hint = f"make a file of it: nwbpipe export {self._path.name} OUT.nwb --to hdf5"
        expected, content = "an NWB 2 file (HDF5)", "a folder of Zarr"
        raise UnsupportedFileError(msg, where=str(self), expected=expected, found=content, hint=hint)

    def change(
        self,
        *,
        lock_timeout: float = 60.0,
        check: Callable[[h5py.File], None] | None = None,
        committed: Callable[[], None] | None = None,
        unsafe_no_cas: bool = False,
        unlinks: bool = True,
    ) -> NoReturn:
        """See `require_changeable`."""
        self.require_changeable()

    def keep_identities(
        self, change: SessionChange, changed: list[str], written: Mapping[str, IdentityResult]
    ) -> NoReturn:
        """See `require_changeable`."""
        self.require_changeable()

    def repack(self, *, lock_timeout: float = 60.0) -> NoReturn:
        """See `require_changeable`."""
        self.require_changeable()

    def repair(
        self, *, lock_timeout: float = 60.0, abandoned_after: timedelta = timedelta(days=1)
    ) -> tuple[str, ...]:
        """See `SessionFile.repair`: no writer of nwbpipe leaves anything in a folder."""
        return ()

    def local_copy(self) -> NoReturn:
        """See `require_changeable`."""
        self.require_changeable()

    def serve(self, scratch: Path, media: Collection[str] = ()) -> NoReturn:
        """See `require_changeable`."""
        self.require_changeable()


@lru_cache(maxsize=4)  # an array that is read lazily opens its file again and again
def _find_image(path: Path, _tag: str) -> FolderImage:
    return build_image(path)
