"""Videos that stay outside the NWB file: placed in a folder beside it, named relative to it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from nwbpipe.converters._build import BuiltSession
from nwbpipe.converters._record import STEP
from nwbpipe.converters.clocks._alignment import load_array
from nwbpipe.errors import FileAccessError, NwbpipeError, OverwriteError
from nwbpipe.provenance import find_current_record, read_records

MEDIA = "media"  # what the conversion's record calls the notes of the media that it placed, in its resources
_BLOCK = 1 << 20


def media_folder(output: Path) -> Path:
    """Folder of a file's media: named after it, beside it."""
    return output.with_suffix("")


@contextmanager
def place_media(
    built: BuiltSession, output: Path, sources: Iterable[Path], *, overwrite: bool = False, stage: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Place the videos of a session beside its file; if the block fails, they are removed again.

    The media of a file that is replaced stay until the new one is in place: one of the same name but other content
    is not touched, the new one gets a number. At the end those go that the conversion of the old file placed and the
    new one does not use. Only its own note tells them, for raw data may lie in the same folder, under any name.

    Parameters
    ----------
    built : Built
        The session's file in memory; its `locate_external_file` fields are made relative.
    output : Path
        The NWB file.
    sources : iterable of Path
        Raw files and folders of the session: none of them is removed, or noted as placed.
    overwrite : bool
        Whether a file that exists may be replaced.
    stage : Path, optional
        Folder of what was brought to this machine for the conversion: from there files are copied, not linked.

    Yields
    ------
    dict
        A note for each medium of the file that nwbpipe placed, by its name: for the conversion's record.
    """
    folder = media_folder(output)
    old = _read_media_notes(output) if overwrite else {}
    raw = {path.resolve() for path in sources}
    made, used = not folder.exists(), set()
    placed: dict[str, Any] = {}
    try:
        for how, series in _external_series(built):
            names = []
            for file, stem in _name_files(series, how[0]):
                raw.add(file.resolve())
                folder.mkdir(exist_ok=True)
                target = _choose_target(file, folder, stem, overwrite)
                used.add(target.name)
                if not target.exists():
                    staged = stage is not None and file.is_relative_to(stage)
                    placed[target.name] = _place(file, target, "copy" if staged else how[1])
                names.append(str(PurePosixPath(folder.name, target.name)))
            series.fields["external_file"] = names
        old = {name: note for name, note in old.items() if not _is_raw(folder / name, raw)}
        kept = {name: note for name, note in old.items() if name in used and _is_noted(folder / name, note)}
        yield {**kept, **placed}
    except BaseException:
        _remove(folder, placed)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    unused = {name: note for name, note in old.items() if name not in used}
    if _remove(folder, unused) and not any(folder.iterdir()):
        folder.rmdir()


def _external_series(built: BuiltSession) -> Iterator[tuple[tuple[str, str], Any]]:
    """Series with external files, each with its source's name and how to place the files."""
    for source in built.sources:
        if source.spec.video in ("link", "copy"):
            for series in built.added[source.name].series():
                if getattr(series, "external_file", None) is not None:
                    yield (source.name, source.spec.video), series


def _name_files(series: Any, source: str) -> Iterator[tuple[Path, str]]:
    """Files of a series, each with a name after its source: two sources may both have a `body.mp4`."""
    for name in load_array(series.external_file):
        file = Path(str(name))
        yield file, file.stem if file.stem == source else f"{source}_{file.stem}"


def _choose_target(file: Path, folder: Path, stem: str, overwrite: bool) -> Path:
    """Choose where a medium goes: its name if that is free or holds the same, else the name with a number."""
    target = folder / f"{stem}{file.suffix}"
    number = 2
    while target.exists() and not _have_same_content(file, target):
        if not overwrite:
            raise OverwriteError(
                "a medium of the session exists with other content",
                where=str(target),
                hint="choose another output name, remove it, or pass --overwrite",
            )
        target = folder / f"{stem}_{number}{file.suffix}"
        number += 1
    return target


def _read_media_notes(output: Path) -> dict[str, Any]:
    """Notes of the media that the conversion of a file placed. Older versions made none: what they placed stays."""
    try:
        record = find_current_record(read_records(output), STEP)
    except NwbpipeError:  # there is no such file, or it is none of ours
        return {}
    media = record.resources.get(MEDIA) if record is not None and isinstance(record.resources, Mapping) else None
    if not isinstance(media, Mapping):
        return {}
    return {name: note for name, note in media.items() if Path(name).name == name and isinstance(note, Mapping)}


def _note(path: Path, linked: bool) -> dict[str, Any]:
    """What tells a medium that nwbpipe placed from another file that came to its name later."""
    found = path.lstat()
    return {"inode": found.st_ino, "size": found.st_size, "mtime_ns": found.st_mtime_ns, "link": linked}


def _is_noted(path: Path, note: Mapping[str, Any]) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and note == _note(path, note.get("link") is True)
    except OSError:
        return False


def _is_raw(path: Path, raw: set[Path]) -> bool:
    """Whether a path is a raw file of the session, or lies in a raw folder."""
    resolved = path.resolve()
    return not raw.isdisjoint((resolved, *resolved.parents))


def _remove(folder: Path, notes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Remove media that are as they were noted; tell whether any was.

    A link stays once it is the only name of its file: then it is the raw video.
    """
    removed = False
    for name, note in notes.items():
        path = folder / name
        if _is_noted(path, note) and not (note["link"] and path.lstat().st_nlink == 1):
            with suppress(OSError):  # it does no harm where it is
                path.unlink()
                removed = True
    return removed


def _place(file: Path, target: Path, how: str) -> dict[str, Any]:
    """Link or copy a medium to a name that is free, and return the note of it."""
    try:
        if how == "link" and _try_hard_link(file, target):
            return _note(target, linked=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            shutil.copyfile(file, partial)
            if target.exists():  # it came while the video was copied
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return _note(target, linked=False)
    except OSError as error:
        raise FileAccessError(
            "a video can't be placed beside the NWB file",
            where=str(target),
            found=error.strerror or str(error),
            hint="free space or ask for permission; nothing was changed",
        ) from error


def _try_hard_link(file: Path, target: Path) -> bool:
    """Make a hard link; tell whether the file system allows it."""
    try:
        os.link(file.resolve(), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS):
            return False
        raise
    return True


def _have_same_content(one: Path, other: Path) -> bool:
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
