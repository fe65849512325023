"""Bring a run's inputs within reach of a process that holds no credentials and needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from nwbpipe import files
from nwbpipe import session as session_file
from nwbpipe.errors import InputError, NwbpipeError, ToolError
from nwbpipe.processors import BoundInput
from nwbpipe.run._bind import describe_location, locate_external_file
from nwbpipe.stores import CachedFile, RangeServer, Stage, is_remote, open_location
from nwbpipe.stores.s3 import connect, parse_address

_STAND_IN = b"This stands for %s, whose ranges nwbpipe serves. It is no HDF5 file.\n"


@contextmanager
def serve_inputs(
    session: Path | str, inputs: Mapping[str, BoundInput], scratch: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Say where the inputs' data are for the compute module, and serve them while the block lasts.

    A local session file is read where it is. One in S3 is served by ranges; its external files, which tools open by
    themselves, are downloaded (into the cache, linked into a folder of this run).

    Parameters
    ----------
    session : path
        The session file.
    inputs : mapping of str to BoundInput
        The inputs.
    scratch : Path
        Folder of the run.

    Yields
    ------
    dict
        The part ``inputs`` of the request.
    dict or None
        What is to be served: see `nwbpipe.environments.run`.

    Raises
    ------
    FileAccessError, ConflictError
        At the end, if something could not be read: what was computed is not to be believed then.
    """
    with ExitStack() as stack:
        if not is_remote(session):
            folder = Path(session).parent
            with session_file.open_hdf5(session) as file:
                found = {
                    name: describe_location(file, one, lambda name, where: locate_external_file(folder, name, where))
                    for name, one in inputs.items()
                }
            yield found, None
            return
        stage = _ExternalFiles(session, stack)
        with session_file.open_hdf5(session) as file:
            found = {name: describe_location(file, one, stage.download) for name, one in inputs.items()}
        url = str(session)
        stand_in = scratch / (url.rpartition("/")[2] or "session.nwb")
        stand_in.write_bytes(_STAND_IN % url.encode())
        for one in found.values():
            if "file" in one:  # an artefact is on this machine
                one["file"] = str(stand_in)
        source = files.FollowingObject(stack.enter_context(closing(connect())), parse_address(url))
        server = RangeServer([stack.enter_context(CachedFile(source, url))])
        with server:
            try:
                yield found, {**server.access, "files": {str(stand_in): 0}}
            except ToolError as error:
                if server.failure is not None:
                    raise server.failure from error
                raise
        if server.failure is not None:
            raise server.failure


class _ExternalFiles:
    """External files of a remote session file, on this machine."""

    def __init__(self, session: Path | str, stack: ExitStack) -> None:
        self._store, _ = open_location(session)
        self._stack = stack
        self._stage: Stage | None = None

    def download(self, name: str, where: str) -> Path:
        """Download an external file; return where it is.

        Raises
        ------
        InputError
            If it is missing, or lies outside the folder of the session file.
        """
        if self._stage is None:
            self._stage = self._stack.enter_context(Stage())
        try:
            return self._stage.place(self._store, name)
        except NwbpipeError as error:
            msg = f"an external file can't be had: {error.problem.what}"
            raise InputError(
                msg, where=where, found=name, hint="put it back beside the session file, below its folder"
            ) from error
