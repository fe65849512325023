"""Place the videos that stay outside the NWB file in a folder beside it; the file names them relative to itself."""

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

from nwbpipe.converters._added import load_array
from nwbpipe.converters._build import BuiltSession
from nwbpipe.converters._record import STEP
from nwbpipe.converters._source import Source
from nwbpipe.disk import create_file, kind_of, open_regular, remove_file
from nwbpipe.errors import FileAccessError, NwbpipeError, OverwriteError
from nwbpipe.provenance import find_current_record
from nwbpipe.session import read_records

MEDIA = "media"  # entry of the conversion record's resources: the notes of the media that it placed
_BLOCK = 1 << 20


def media_folder(output: Path) -> Path:
    """Return the folder of a file's media: named after it, beside it."""
    return output.with_suffix("")


@contextmanager
def place_media(
    built: BuiltSession, output: Path, sources: Iterable[Path], *, overwrite: bool = False, stage: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Place the videos of a session beside its file; if the block fails, they are removed again.

    The media of a file that is replaced stay until the new file is in place: a medium of the same name but other
    content is not touched, the new one gets a number. At the end the media go that the conversion of the old file
    placed and the new file does not use. They are known by the old record's notes alone, for raw data may lie in the
    same folder, under any name.

    Parameters
    ----------
    built : BuiltSession
        The session's file in memory; its `external_file` fields are made relative.
    output : Path
        The NWB file.
    sources : iterable of Path
        Raw files and folders of the session: none of them is removed, or noted as placed.
    overwrite : bool
        True if a file that exists may be replaced.
    stage : Path, optional
        Folder of the raw files that were downloaded for the conversion: from there files are copied, not linked.

    Yields
    ------
    dict
        A note for each medium of the file that nwbpipe placed, by its name: for the conversion's record.
    """
    folder = media_folder(output)
    _refuse_prepared(folder)
    old = _read_media_notes(output) if overwrite else {}
    raw = {path.resolve() for path in sources}
    is_new_folder, used = not folder.exists(), set()
    new: dict[str, Any] = {}
    try:
        for source, series in _external_series(built):
            names = []
            for file, stem in _name_files(series, source.name):
                raw.add(file.resolve())
                folder.mkdir(parents=True, exist_ok=True)
                _refuse_prepared(folder)
                target = _choose_target(file, folder, stem, overwrite)
                used.add(target.name)
                if not target.exists():
                    is_copy = source.spec.video == "copy" or (stage is not None and file.is_relative_to(stage))
                    new[target.name] = _place(file, target, link=not is_copy)
                names.append(str(PurePosixPath(folder.name, target.name)))
            series.fields["external_file"] = names
        old = {name: note for name, note in old.items() if not _is_raw(folder / name, raw)}
        reused = {name: note for name, note in old.items() if name in used and _is_noted(folder / name, note)}
        yield {**reused, **new}
    except BaseException:
        _remove(folder, new)
        if is_new_folder and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    unused = {name: note for name, note in old.items() if name not in used}
    if _remove(folder, unused) and not any(folder.iterdir()):
        folder.rmdir()


def _refuse_prepared(folder: Path) -> None:
    """Refuse a link or a file at the name of the videos' folder: videos would be written where it leads."""
    if os.path.lexists(folder) and not stat.S_ISDIR(mode := folder.lstat().st_mode):
        raise FileAccessError(
            "the folder of the videos is not a folder",
            where=str(folder),
            expected="a folder, or nothing",
            found=kind_of(mode),
            hint="remove it, or choose another output name",
        )


def _external_series(built: BuiltSession) -> Iterator[tuple[Source, Any]]:
    """Iterate over the series with external files, each with its source."""
    for source in built.sources:
        if source.spec.video in ("link", "copy"):
            for series in source.added.series():
                if getattr(series, "external_file", None) is not None:
                    yield source, series


def _name_files(series: Any, source: str) -> Iterator[tuple[Path, str]]:
    """Iterate over the files of a series, each with a name after its source: two may both have a `body.mp4`."""
    for name in load_array(series.external_file):
        file = Path(str(name))
        yield file, file.stem if file.stem == source else f"{source}_{file.stem}"


def _choose_target(file: Path, folder: Path, stem: str, overwrite: bool) -> Path:
    """Choose the path of a medium: its name if that is free or holds the same content, else with a number."""
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
    """Return the notes of the media that the conversion of a file placed; media of older versions have none."""
    try:
        record = find_current_record(read_records(output), STEP)
    except NwbpipeError:  # the file does not exist, or is not nwbpipe's
        return {}
    media = record.resources.get(MEDIA) if record is not None and isinstance(record.resources, Mapping) else None
    if not isinstance(media, Mapping):
        return {}
    return {name: note for name, note in media.items() if Path(name).name == name and isinstance(note, Mapping)}


def _note(path: Path, linked: bool) -> dict[str, Any]:
    """Return the note by which a medium is known again: another file may come to its name later."""
    status = path.lstat()
    return {"inode": status.st_ino, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "link": linked}


def _is_noted(path: Path, note: Mapping[str, Any]) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and note == _note(path, note.get("link") is True)
    except OSError:
        return False


def _is_raw(path: Path, raw: set[Path]) -> bool:
    """Return True if a path is a raw file of the session, or lies in a raw folder."""
    resolved = path.resolve()
    return not raw.isdisjoint((resolved, *resolved.parents))


def _remove(folder: Path, notes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Remove the media that are as they were noted; return True if any was.

    A link stays once it is the only name of its file: then it is the raw video.
    """
    any_removed = False
    for name, note in notes.items():
        path = folder / name
        if _is_noted(path, note) and not (note["link"] and path.lstat().st_nlink == 1):
            with suppress(OSError):  # it does no harm where it is
                any_removed |= remove_file(path)
    return any_removed


def _place(file: Path, target: Path, *, link: bool) -> dict[str, Any]:
    """Link or copy a medium to a name that is free, and return its note."""
    try:
        if link and _try_hard_link(file, target):
            return _note(target, linked=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            with open_regular(file) as source, os.fdopen(create_file(partial), "wb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
            partial.chmod(stat.S_IMODE(file.stat().st_mode) | stat.S_IWUSR)
            if os.path.lexists(target):  # it came while the video was copied
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            partial.replace(target)
        finally:
            remove_file(partial)
        return _note(target, linked=False)
    except OSError as error:
        raise FileAccessError(
            "a video can't be placed beside the NWB file",
            where=str(target),
            found=error.strerror or str(error),
            hint="free space or ask for permission; nothing was changed",
        ) from error


def _try_hard_link(file: Path, target: Path) -> bool:
    """Make a hard link; return False if the file system allows none."""
    try:
        os.link(file.resolve(), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS):
            return False
        raise
    return True


def _have_same_content(path: Path, target: Path) -> bool:
    if path.samefile(target):
        return True
    if path.stat().st_size != target.stat().st_size:
        return False
    with path.open("rb") as first, target.open("rb") as second:
        while True:
            block = first.read(_BLOCK)
            if block != second.read(_BLOCK):
                return False
            if not block:
                return True
