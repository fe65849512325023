"""Bring a run's inputs within reach of a process that holds no credentials and needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nwbpipe.run._bind import locate_input
from nwbpipe.session import SessionFile


@contextmanager
def serve_inputs(
    session: SessionFile,
    descriptions: Mapping[str, Mapping[str, Any]],
    scratch: Path,
    *,
    streams_media: bool = False,
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Locate the inputs' data for the compute module, and serve them while the block lasts.

    A local session file is read where it is. One in S3 is served by ranges; its external files, which tools open by
    themselves, are downloaded (into the cache, linked into a folder of this run), or served by ranges, too.

    Parameters
    ----------
    session : SessionFile
        The session file.
    descriptions : mapping of str to mapping
        The inputs, as `describe_input` returns them.
    scratch : Path
        Folder of the run.
    streams_media : bool
        Whether the compute module reads external files by ranges (`Processor.streams_media`).

    Yields
    ------
    dict
        The part ``inputs`` of the request.
    dict or None
        The server of ranges: see `nwbpipe.environments.run`.

    Raises
    ------
    FileAccessError, ConflictError
        At the end, if something could not be read: what was computed is not to be believed then.
    """
    media = {name for item in descriptions.values() for name in item.get("external_files", ())}
    with session.external_files() as find_external, session.serve(scratch, media if streams_media else ()) as served:

        def find(name: str, path: str) -> Path:
            return Path(served.media[name]) if name in served.media else find_external(name, path)

        inputs = {name: locate_input(description, served.path, find) for name, description in descriptions.items()}
        yield inputs, served.access
