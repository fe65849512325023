"""Media that a run made, beside a session file in the folder named after it: place them, and remove them again."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from nwbpipe.disk import create_file, kind_of, mark_of, open_regular, remove_file
from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.provenance import RunRecord
from nwbpipe.session._session_file import SessionFile
from nwbpipe.stores import Store, open_location

MEDIA = "media"  # entry of a record's resources: the notes of the media that the run placed, by name
_BLOCK = 1 << 20
_CHANGED = "it was changed since"
_ID = 12  # digits of the run's id in the name of a medium


def list_media(record: RunRecord) -> dict[str, Mapping[str, Any]]:
    """Return the notes of the media that a run made, by name in the folder; a conversion places media of others.

    A note says ``size`` and ``sha256`` of the file, and ``remove_after``, a time, unless it is kept. A name that a
    run does not give (`name_medium`) is not believed: the record may come from anywhere.
    """
    media = record.resources.get(MEDIA) if isinstance(record.resources, Mapping) else None
    if not isinstance(media, Mapping):
        return {}
    return {
        name: note
        for name, note in media.items()
        if Path(name).name == name
        and name.isprintable()
        and len(record.run_id) >= _ID
        and Path(name).stem.endswith(f"_{record.run_id[:_ID]}")
        and isinstance(note, Mapping)
        and isinstance(note.get("sha256"), str)
    }


def name_medium(step: str, run_id: str, file: str) -> str:
    """Return the name of a medium: of the step, the run, and the suffix of the file that the run left."""
    return f"{step}_{run_id[:_ID]}{Path(file).suffix}"


def build_medium_path(session: SessionFile, name: str) -> str:
    """Return the path of a medium, relative to the folder of its session file."""
    return f"{Path(session.name).stem}/{name}"


def place_medium(session: SessionFile, file: Path, name: str) -> dict[str, Any]:
    """Copy a file to the folder of the session's media; one of the same content that is there stays.

    Parameters
    ----------
    session : SessionFile
    file : Path
        A file in scratch.
    name : str
        Its name in the folder, which nothing else can have.

    Returns
    -------
    dict
        Its note: ``size`` and ``sha256``.

    Raises
    ------
    FileAccessError
        If it can't be written, or something else has the name.
    """
    with file.open("rb") as source:
        note = {"size": file.stat().st_size, "sha256": _hash(source)}
    path = build_medium_path(session, name)
    if isinstance(session.folder, Path):
        mode = stat.S_IMODE(Path(session.location).stat().st_mode) | stat.S_IWUSR  # its readers may see the video
        _place_locally(file, session.folder / path, note, mode)
        return note
    store, _ = open_location(str(session))
    try:
        store.put_file(file, path, if_absent=True)
    except ConflictError:
        if not _has_content(store, path, note):
            raise _explain_taken(store.location(path)) from None
    return note


def find_medium_change(session: SessionFile, name: str, note: Mapping[str, Any]) -> str:
    """Return why a medium is not what its run made; nothing if it is, or if it is gone.

    A link at its name or at that of its folder is not followed.

    Raises
    ------
    FileAccessError, OSError
        If it can't be read.
    """
    path = build_medium_path(session, name)
    if isinstance(session.folder, Path):
        return _find_local_change(session.folder / path, note)
    store, _ = open_location(str(session))
    return "" if not store.exists(path) or _has_content(store, path, note) else _CHANGED


def remove_medium(session: SessionFile, name: str, note: Mapping[str, Any]) -> str:
    """Remove a medium whose content is what its run made; return why it stays, nothing if it is gone.

    Nothing is removed through a link, and no file that was changed since: that is somebody's work.
    """
    path = build_medium_path(session, name)
    try:
        if isinstance(session.folder, Path):
            return _remove_locally(session.folder / path, note)
        store, _ = open_location(str(session))
        if not store.exists(path):
            return ""
        tag = store.stat(path).tag
        if not _has_content(store, path, note):
            return _CHANGED
        store.remove(path, if_tag=tag)
    except (NwbpipeError, OSError) as error:
        return f"it can't be removed: {str(error).partition(chr(10))[0]}"
    return ""


def has_medium(session: SessionFile, name: str) -> bool:
    """Return True if anything has the name of a medium."""
    path = build_medium_path(session, name)
    if isinstance(session.folder, Path):
        return os.path.lexists(session.folder / path)
    store, _ = open_location(str(session))
    return store.exists(path)


def _place_locally(file: Path, target: Path, note: Mapping[str, Any], mode: int) -> None:
    folder = target.parent
    try:
        folder.mkdir(exist_ok=True)
        if not stat.S_ISDIR(kind := folder.lstat().st_mode):
            raise FileAccessError(
                "the folder of the videos is not a folder",
                where=str(folder),
                expected="a folder, or nothing",
                found=kind_of(kind),
                hint="move it away, and run the step again: the result is kept until then",
            )
        if os.path.lexists(target):
            if _find_local_change(target, note):
                raise _explain_taken(str(target))
            return
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            with open_regular(file) as source, os.fdopen(create_file(partial), "wb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
                copy.flush()
                os.fsync(copy.fileno())
            partial.chmod(mode)
            partial.replace(target)  # the run's id is in the name
        finally:
            remove_file(partial)
    except OSError as error:
        raise FileAccessError(
            "a video can't be placed beside the NWB file",
            where=str(target),
            found=error.strerror or str(error),
            hint="free space or ask for permission, and run the step again: the result is kept until then",
        ) from error


def _find_local_change(path: Path, note: Mapping[str, Any]) -> str:
    try:
        if not stat.S_ISDIR(path.parent.lstat().st_mode):
            return "its folder is a link, or no folder"
        if not stat.S_ISREG(path.lstat().st_mode):
            return "a link, or a folder, has its name"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    with open_regular(path, follow=False) as file:
        same = os.fstat(file.fileno()).st_size == note.get("size") and _hash(file) == note["sha256"]
    return "" if same else _CHANGED


def _remove_locally(path: Path, note: Mapping[str, Any]) -> str:
    if not os.path.lexists(path):
        return ""
    mark, seen = mark_of(path), path.lstat()
    change = _find_local_change(path, note)
    if change or not os.path.lexists(path):
        return change
    now = path.lstat()  # one that was written to while it was hashed is somebody's
    same = (now.st_size, now.st_mtime_ns) == (seen.st_size, seen.st_mtime_ns)
    return "" if same and remove_file(path, mark) else _CHANGED


def _has_content(store: Store, path: str, note: Mapping[str, Any]) -> bool:
    if store.stat(path).size != note.get("size"):
        return False
    with store.open(path) as file:  # of one version, or it is a conflict
        return _hash(file) == str(note["sha256"])


def _hash(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _explain_taken(where: str) -> FileAccessError:
    msg = "another file has the name of the video"
    return FileAccessError(
        msg, where=where, hint="move it away, and run the step again: the result is kept until then"
    )
