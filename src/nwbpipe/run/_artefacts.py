"""Artefacts: results of steps of project scope, in the store ``models://``.

``STEP/KEY/IDENTITY/`` holds an artefact's files, and ``STEP/KEY/RUN.json`` beside it the record of the run that made
them, written last. Both are immutable. The key is that of the request, the identity that of the content.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.disk import remove_file, remove_folder
from nwbpipe.errors import DamagedFileError, InputError, InvalidResultError
from nwbpipe.provenance import RunRecord, identify_file

MODELS = "models"
_ABANDONED_S = 86400.0
PROJECT = "project/models"  # stands where the key of a session does


@dataclass(frozen=True)
class StoredArtefact:
    """An artefact in the store.

    Attributes
    ----------
    record : RunRecord
        Record of the run that made it.
    folder : Path
        Folder of its files; the folder's name is its identity.
    """

    record: RunRecord
    folder: Path

    @property
    def identity(self) -> str:
        """The digest of its files."""
        return self.folder.name

    @property
    def address(self) -> str:
        """``models://STEP/KEY/IDENTITY``."""
        return f"{MODELS}://{self.record.step}/{self.record.key}/{self.identity}"


def list_artefacts(models: Path, step: str) -> list[StoredArtefact]:
    """Return the artefacts of a step, the newest last; records that can't be read are left out."""
    artefacts = [_read_artefact_record(path) for path in (models / step).glob("*/*.json")]
    return sorted((item for item in artefacts if item is not None), key=lambda item: item.record.ended)


def read_artefact(folder: Path) -> StoredArtefact:
    """Return the artefact in a folder, after its files were hashed and compared with its identity.

    Raises
    ------
    InputError
        If the folder is not that of an artefact.
    DamagedFileError
        If its files were changed.
    """
    folder = folder.absolute()
    artefacts = [
        item
        for path in folder.parent.glob("*.json")
        if (item := _read_artefact_record(path)) and item.folder == folder
    ]
    if not artefacts:
        msg = "the folder has no record of an artefact"
        raise InputError(msg, where=str(folder), hint="name the folder STEP/KEY/IDENTITY of the store models://")
    if hash_content(folder) != folder.name:
        msg = "the files of an artefact were changed"
        raise DamagedFileError(
            msg, where=str(folder), expected=folder.name, hint="remove the folder: it is made again"
        )
    return max(artefacts, key=lambda item: item.record.ended)


def keep_artefact(models: Path, files: Path, record: RunRecord) -> StoredArtefact:
    """Move files to their place, and write the record that makes them an artefact."""
    identity = hash_content(files)
    parent = models / record.step / record.key
    parent.mkdir(parents=True, exist_ok=True)
    for partial in parent.glob(".*.partial"):  # of a run that was killed
        is_ours = re.fullmatch(r"\.[0-9a-f]{32}\.partial", partial.name)
        if is_ours and time.time() - partial.lstat().st_mtime > _ABANDONED_S:
            remove_folder(partial) or remove_file(partial)
    folder = parent / identity
    part = parent / f".{uuid.uuid4().hex}.partial"  # scratch may be on another disk
    try:
        shutil.copytree(files, part)
        _sync(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise  # else the store holds this very content
    finally:
        remove_folder(part)
    path = parent / f"{record.run_id}.json"
    draft = parent / f".{record.run_id}.partial"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"identity": identity, **record.as_dict()}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return StoredArtefact(record, folder)


def hash_content(folder: Path) -> str:
    """Return the digest of the names and bytes of all files below a folder.

    Raises
    ------
    InvalidResultError
        If the folder has no files, or a link among them.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    if links or not files:
        msg = "an artefact holds a link" if links else "an artefact has no files"
        raise InvalidResultError(msg, where=str(links[0] if links else folder), expected="files of its own")
    return identify_file(folder).sha256


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _read_artefact_record(path: Path) -> StoredArtefact | None:
    """Return the artefact of a record; None if that can't be read, lies elsewhere, or the artefact is gone."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        folder = path.parent / str(values.pop("identity"))
        record = RunRecord.from_dict(values)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    in_place = (record.step, record.key) == (path.parent.parent.name, path.parent.name)
    return StoredArtefact(record, folder) if in_place and folder.parent == path.parent and folder.is_dir() else None
