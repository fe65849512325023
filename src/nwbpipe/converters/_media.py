"""Videos that stay outside the NWB file: placed in a folder beside it, named relative to it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from nwbpipe.converters._alignment import in_memory
from nwbpipe.converters._build import Built
from nwbpipe.errors import FileAccessError, OverwriteError

_BLOCK = 1 << 20


def media_folder(output: Path) -> Path:
    """Folder of a file's media: named after it, beside it."""
    return output.with_suffix("")


@contextmanager
def placed_media(built: Built, output: Path, overwrite: bool = False, stage: Path | None = None) -> Iterator[None]:
    """Place the videos of a session beside its file; if the block fails, they are removed again.

    The media of a file that is replaced stay until the new one is in place: one of the same name but other content
    is not touched, the new one gets a number. What only the old file refers to is removed at the end.

    Parameters
    ----------
    built : Built
        The session's file in memory; its `external_file` fields are made relative.
    output : Path
        The NWB file.
    overwrite : bool
        Whether a file that exists may be replaced.
    stage : Path, optional
        Folder of what was brought to this machine for the conversion: from there files are copied, not linked.
    """
    folder = media_folder(output)
    old = _media_of(output) if overwrite else set()
    made, placed, used = not folder.exists(), [], set()
    try:
        for how, series in _external(built):
            names = []
            for file, stem in _named_files(series, how[0]):
                folder.mkdir(exist_ok=True)
                target = _target(file, folder, stem, overwrite)
                used.add(target)
                if not target.exists():
                    placed.append(target)
                    staged = stage is not None and file.is_relative_to(stage)
                    _place(file, target, "copy" if staged else how[1])
                names.append(str(PurePosixPath(folder.name, target.name)))
            series.fields["external_file"] = names
        yield
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    for path in old - used:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _external(built: Built) -> Iterator[tuple[tuple[str, str], Any]]:
    """Series with external files, each with its source's name and how to place the files."""
    for source in built.sources:
        if source.spec.video in ("link", "copy"):
            for series in built.added[source.name].series():
                if getattr(series, "external_file", None) is not None:
                    yield (source.name, source.spec.video), series


def _named_files(series: Any, source: str) -> Iterator[tuple[Path, str]]:
    """Files of a series, each with a name after its source: two sources may both have a `body.mp4`."""
    for name in in_memory(series.external_file):
        file = Path(str(name))
        yield file, file.stem if file.stem == source else f"{source}_{file.stem}"


def _target(file: Path, folder: Path, stem: str, overwrite: bool) -> Path:
    """Choose where a medium goes: its name if that is free or holds the same, else the name with a number."""
    target = folder / f"{stem}{file.suffix}"
    number = 2
    while target.exists() and not _same(file, target):
        if not overwrite:
            raise OverwriteError(
                "a medium of the session exists with other content",
                where=str(target),
                hint="choose another output name, remove it, or pass --overwrite",
            )
        target = folder / f"{stem}_{number}{file.suffix}"
        number += 1
    return target


def _media_of(output: Path) -> set[Path]:
    """Media in the folder of a file that the file refers to."""
    import h5py

    names: list[str] = []

    def collect(name: str, item: Any) -> None:
        if name.endswith("/external_file") and isinstance(item, h5py.Dataset):
            names.extend(map(str, item.asstr()[()].ravel()))

    try:
        with h5py.File(output, "r", locking=False) as file:
            file.visititems(collect)
    except OSError:  # there is no such file, or it is none of ours
        return set()
    folder = media_folder(output)
    paths = {output.parent / name for name in names if not Path(name).is_absolute()}
    return {path for path in paths if path.parent == folder}


def _place(file: Path, target: Path, how: str) -> None:
    try:
        if how == "link" and _linked(file, target):
            return
        partial = target.with_name(f".{target.name}.partial")
        try:
            shutil.copyfile(file, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FileAccessError(
            "a video can't be placed beside the NWB file",
            where=str(target),
            found=error.strerror or str(error),
            hint="free space or ask for permission; nothing was changed",
        ) from error


def _linked(file: Path, target: Path) -> bool:
    """Make a hard link; tell whether the file system allows it."""
    try:
        os.link(file.resolve(), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS):
            return False
        raise
    return True


def _same(one: Path, other: Path) -> bool:
    if one.samefile(other):
        return True
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            block = first.read(_BLOCK)
            if block != second.read(_BLOCK):
                return False
            if not block:
                return True
