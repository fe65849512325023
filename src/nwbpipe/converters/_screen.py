"""Look at the raw files of a source before a reader opens them: they may come from strangers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py

from nwbpipe.disk import kind_of
from nwbpipe.errors import SourceError
from nwbpipe.files import find_superblock, require_safe

_HDF5 = {".h5", ".hdf5", ".hdf", ".he5", ".mat", ".slp", ".nwb", ".ims", ".brw", ".jld2", ".ma", ".loom", ".nd2h5"}
_PLAYLISTS = {".m3u8", ".m3u", ".mpd", ".ffconcat", ".sdp"}
_VIDEOS = {
    ".avi", ".mp4", ".mov", ".mkv", ".m4v", ".wmv", ".flv", ".webm", ".mpg", ".mpeg", ".ts", ".mjpeg", ".h264",
}  # fmt: skip
_PLAYLIST_STARTS = (b"#extm3u", b"ffconcat")  # whatever the ending
_VIDEO_PLAYLIST_STARTS = (b"<mpd", b"v=0", b"[playlist]", b"<asx", b"file ")
_POINTER, _POINTER_BYTES = b"version https://git-lfs", 1024
_START_BYTES = 4096  # in which a playlist or HDF5's signature is looked for


def screen_raw_files(paths: Iterable[Path], roots: Sequence[Path] = ()) -> None:
    """Refuse pipes and devices, which a reader waits for, and what leads out: links, playlists, links in HDF5 files.

    Parameters
    ----------
    paths : iterable of Path
        Raw files and folders. One that does not exist passes: the reader says so.
    roots : sequence of Path
        Folders that no symbolic link may lead out of; links are not looked at where there are none.

    Raises
    ------
    SourceError
        If something is not a regular file, a link leads out, or a file only names others (a playlist, a pointer).
    UnsafeFileError, DamagedFileError
        If an HDF5 file is unsafe: see `nwbpipe.files.require_safe`.
    """
    real_roots = [root.resolve() for root in roots]
    for path in paths:
        for file, status in _iter_files(path):
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(
                    "a raw file is not a regular file",
                    where=str(file),
                    expected="a file",
                    found=kind_of(status.st_mode),
                    hint="remove it, or move it out of the folder of the source",
                )
            if real_roots and not any(map(file.resolve().is_relative_to, real_roots)):
                raise SourceError(
                    "a symbolic link of the raw data leads out of their root",
                    where=str(file),
                    expected=f"a file below {roots[0]}, or in a store",
                    found=str(file.resolve()),
                    hint=f"if you made the link: nwbpipe trust {path}; or declare a store, and write store://path",
                )
            start = _read_start(file)
            if _is_playlist(file, start):
                raise SourceError(
                    "a raw file is a list of other files, and holds no video itself",
                    where=str(file),
                    expected="a video",
                    hint="name the videos themselves",
                )
            if status.st_size < _POINTER_BYTES and start.startswith(_POINTER):
                raise SourceError(
                    "a raw file is a Git LFS pointer: the file itself was not fetched",
                    where=str(file),
                    expected="the recording",
                    found=f"{status.st_size} bytes of text",
                    hint="run `git lfs pull` in its repository",
                )
            # HDF5 looks for its signature in the whole file, whatever the name.
            if find_superblock(start) is not None or (file.suffix.lower() in _HDF5 and h5py.is_hdf5(file)):
                require_safe(file)


def _iter_files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each name below a path that is not a folder, with the stat of what it leads to."""
    if not path.is_dir():
        if path.exists():
            yield path, path.stat()
        return
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root, name)
            if file.exists():
                yield file, file.stat()


def _read_start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_START_BYTES)


def _is_playlist(file: Path, start: bytes) -> bool:
    """Return True for texts that ffmpeg follows to other files and addresses."""
    if file.suffix.lower() in _PLAYLISTS:
        return True
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if file.suffix.lower() in _VIDEOS:
        return start.startswith(_PLAYLIST_STARTS + _VIDEO_PLAYLIST_STARTS) or b"<mpd" in start
    return start.startswith(_PLAYLIST_STARTS)
