"""Session files in stores, by URL; they can be changed where the store has conditional writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import h5py

from nwbpipe import files
from nwbpipe.errors import InputError, NwbpipeError, ToolError
from nwbpipe.files import RemoteState
from nwbpipe.provenance import IdentityCache, IdentityResult, RemoteStat
from nwbpipe.session._reader import SessionReader, read_nwb_version
from nwbpipe.session._session_file import ServedFile, SessionChange, SessionFile, retry_after_conflicts
from nwbpipe.stores import ByteSource, CachedFile, RangedFile, RangeServer, Stage, open_location
from nwbpipe.stores.s3 import canonical_url, public_url

T = TypeVar("T")
_STAND_IN = b"This stands for %s, whose ranges nwbpipe serves. It is no HDF5 file.\n"


class RemoteSessionFile(SessionFile):
    """A session file at a URL; see `SessionFile`.

    Parameters
    ----------
    url : str
        ``s3://bucket/key``, or another URL that `nwbpipe.stores.open_store` knows.
    """

    def __init__(self, url: str) -> None:
        self.location = self._url = canonical_url(url)

    def __str__(self) -> str:
        return public_url(self._url)

    @property
    def folder(self) -> str:
        """See `SessionFile.folder`."""
        return self._url.rpartition("/")[0]

    def version(self) -> RemoteStat:
        """See `SessionFile.version`."""
        store, name = open_location(self._url)
        entry = store.stat(name)
        return RemoteStat(entry.tag, entry.size)

    @contextmanager
    def open(self, *, locked: bool = False) -> Iterator[SessionReader]:
        """See `SessionFile.open`."""
        with files.open_remote_state(self._url) as (file, state), SessionReader(file, _stat_of(state)) as reader:
            yield reader

    def read(self, function: Callable[[SessionReader], T], *, locked: bool = False) -> T:
        """See `SessionFile.read`."""

        def once() -> T:
            with self.open() as reader:
                return function(reader)

        return retry_after_conflicts(once)

    def keep_identities(
        self, change: SessionChange, changed: list[str], written: Mapping[str, IdentityResult]
    ) -> None:
        """See `SessionFile.keep_identities`."""
        assert isinstance(change.version, RemoteStat)
        old_state = RemoteState(change.version.tag, change.version.size, change.writes)
        with suppress(NwbpipeError):  # the commit stands, whatever becomes of this
            state = files.read_remote_state(self._url)
            if state.is_next_of(old_state):  # else others have committed since
                IdentityCache().carry_over(self._url, change.version, changed, _stat_of(state), written)

    def require_changeable(self) -> None:
        """See `SessionFile.require_changeable`."""
        files.require_changeable(self._url)

    @contextmanager
    def change(
        self,
        *,
        lock_timeout: float = 60.0,
        check: Callable[[h5py.File], None] | None = None,
        committed: Callable[[], None] | None = None,
        unsafe_no_cas: bool = False,
        unlinks: bool = True,
    ) -> Iterator[SessionChange]:
        """See `SessionFile.change`; nobody waits for a lock, a forestalled commit is a `ConflictError`."""
        with files.remote_transaction(self._url, check=check, unsafe_no_cas=unsafe_no_cas) as (file, state):
            read_nwb_version(file)
            yield SessionChange(file, _stat_of(state), state.writes)
        if committed is not None:
            committed()

    def repack(self, *, lock_timeout: float = 60.0) -> tuple[int, int]:
        """See `SessionFile.repack`: downloaded whole, and uploaded in the place of the state that was downloaded."""
        store, name = open_location(self._url)
        state = store.open_ranged(name)
        with Stage() as stage, CachedFile(state, self._url) as cached:
            copy = stage.folder / name
            shutil.copyfile(cached.fetch_whole(), copy)
            sizes = files.repack(copy, lock_timeout=lock_timeout)
            files.upload_file(copy, self._url, replaces=state.tag)
        return sizes

    def repair(
        self, *, lock_timeout: float = 60.0, abandoned_after: timedelta = timedelta(days=1)
    ) -> tuple[str, ...]:
        """See `SessionFile.repair`: old uploads to S3 are aborted."""
        if not self._url.startswith("s3:"):
            return ()
        aborted = files.abort_s3_orphans(self._url, older_than=abandoned_after)
        return tuple(f"an upload that began {upload.started:%Y-%m-%d %H:%M} UTC was aborted" for upload in aborted)

    def list_uploads(self) -> list[files.UnfinishedUpload]:
        """See `SessionFile.list_uploads`."""
        return files.s3_orphans(self._url) if self._url.startswith("s3:") else []

    @contextmanager
    def local_copy(self) -> Iterator[Path]:
        """See `SessionFile.local_copy`: downloaded through the cache."""
        store, name = open_location(self._url)
        with Stage() as stage:
            yield stage.place(store, name)

    @contextmanager
    def external_files(self) -> Iterator[Callable[[str, str], Path]]:
        """See `SessionFile.external_files`: downloaded into the cache, and linked into a folder of this block."""
        store, _ = open_location(self._url)
        with ExitStack() as stack:
            stages: list[Stage] = []

            def download(name: str, where: str) -> Path:
                if not stages:
                    stages.append(stack.enter_context(Stage()))
                try:
                    return stages[0].place(store, name)
                except NwbpipeError as error:
                    msg = f"the external file {name} can't be downloaded: {error.problem.what}"
                    hint = "put it back beside the session file, below its folder"
                    raise InputError(msg, where=where, found=name, hint=hint) from error

            yield download

    @contextmanager
    def serve(self, scratch: Path, media: Collection[str] = ()) -> Iterator[ServedFile]:
        """See `SessionFile.serve`: ranges are served to the tool under the paths of stand-ins."""
        stand_in = scratch / (self.name or "session.nwb")
        stand_in.write_bytes(_STAND_IN % str(self).encode())
        with ExitStack() as stack:
            sources: list[ByteSource] = [stack.enter_context(files.cache_for_tool(self._url))]
            paths = {}
            for number, name in enumerate(sorted(media), start=1):
                sources.append(self._open_media(name))
                folder = scratch / "media" / str(number)
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / name.rpartition("/")[2]
                path.write_bytes(_STAND_IN % name.encode())
                paths[name] = str(path)
            server = stack.enter_context(RangeServer(sources, scratch))
            numbers = {path: number for number, path in enumerate([str(stand_in), *paths.values()])}
            try:
                yield ServedFile(str(stand_in), {**server.access, "files": numbers}, paths)
            except ToolError as error:
                if server.failure is not None:
                    raise server.failure from error
                raise
        if server.failure is not None:
            raise server.failure

    def _open_media(self, name: str) -> RangedFile:
        """Open an external file, which lies below the folder of this one, to be read by ranges.

        A video is read once, in order, and may be larger than the disk: nothing of it is kept there.
        """
        store, _ = open_location(self._url)
        try:
            media = store.open_ranged(name)
        except NwbpipeError as error:
            msg = f"the external file {name} can't be read: {error.problem.what}"
            hint = "put it back beside the session file, below its folder"
            raise InputError(msg, where=str(self), found=name, hint=hint) from error
        media.reads_ahead = True
        return media


def _stat_of(state: RemoteState) -> RemoteStat:
    return RemoteStat(state.etag, state.size)
