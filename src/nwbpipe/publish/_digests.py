"""Digests of files: DANDI's own, that of each part of an upload, and SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.disk import open_regular
from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.publish._packages import require

_BLOCK = 2**22
Advance = Callable[[int], None]


class StopRequest(Exception):  # noqa: N818 - no error: the user asked for it
    """Ends the work of a thread after Ctrl-C."""


@dataclass(frozen=True)
class Part:
    """A part of a file, as it is uploaded.

    Attributes
    ----------
    number : int
        From 1.
    offset, size : int
        In bytes.
    md5 : str
        Of its bytes.
    """

    number: int
    offset: int
    size: int
    md5: str


@dataclass(frozen=True)
class FileDigest:
    """Digests of a file's content.

    Attributes
    ----------
    size : int
        In bytes.
    etag : str
        ``dandi:dandi-etag``: that of a multipart upload to S3, in parts of 64 MiB (larger ones past 10,000 parts).
    sha256 : str
        ``dandi:sha2-256``.
    parts : tuple of Part
        The parts of its upload.
    mtime_ns : int
        Time of its last change, in nanoseconds since 1970.
    """

    size: int
    etag: str
    sha256: str
    parts: tuple[Part, ...]
    mtime_ns: int


def digest_file(
    path: Path, *, advance: Advance = lambda _: None, stopped: Callable[[], bool] = lambda: False
) -> FileDigest:
    """Read a file once, and return its digests.

    Parameters
    ----------
    path : Path
    advance : callable
        Called with the number of bytes that were read.
    stopped : callable
        True ends the work.

    Raises
    ------
    FileAccessError
        If it is empty or can't be read.
    ConflictError
        If it changed meanwhile.
    StopRequest
        If `stopped` says so.
    """
    generator = require("dandischema.digests.dandietag").PartGenerator
    sha256, parts = hashlib.sha256(), []
    try:
        with open_regular(path) as file:
            stat = os.fstat(file.fileno())
            if stat.st_size == 0:
                msg = "the file is empty: an archive takes none"
                raise FileAccessError(msg, where=str(path))
            try:
                layout = list(generator.for_file_size(stat.st_size))
            except ValueError as error:
                hint = "divide the session into several files"
                raise FileAccessError("the file is too large for an archive", where=str(path), hint=hint) from error
            for part in layout:
                md5 = hashlib.md5(usedforsecurity=False)
                remaining = part.size
                while remaining:
                    if stopped():
                        raise StopRequest
                    block = file.read(min(_BLOCK, remaining))
                    if not block:
                        raise _change_error(path)
                    md5.update(block)
                    sha256.update(block)
                    remaining -= len(block)
                    advance(len(block))
                parts.append(Part(part.number, part.offset, part.size, md5.hexdigest()))
            final_stat = os.fstat(file.fileno())
    except OSError as error:
        raise FileAccessError(
            "the file can't be read", where=str(path), found=error.strerror or str(error)
        ) from error
    if (stat.st_size, stat.st_mtime_ns) != (final_stat.st_size, final_stat.st_mtime_ns):
        raise _change_error(path)
    etag = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
    return FileDigest(stat.st_size, f"{etag}-{len(parts)}", sha256.hexdigest(), tuple(parts), stat.st_mtime_ns)


def _change_error(path: Path) -> ConflictError:
    return ConflictError(
        "the file changed while it was read", where=str(path), hint="wait until nothing writes it, and try again"
    )
