"""Place session files and their videos by DANDI's layout: ``sub-M1/sub-M1_ses-a.nwb``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import h5py

from nwbpipe.errors import NwbpipeError, Problem, show_text
from nwbpipe.files import walk_objects
from nwbpipe.publish._packages import require
from nwbpipe.session import SessionFile, SessionReader

_LONGEST = 512  # characters of an asset's path that the archive takes
_LABEL = re.compile(r"[_*\\/<>:|\"'?%@;,.\s]")


@dataclass(frozen=True)
class AssetFile:
    """A file, and its place in a dandiset.

    Attributes
    ----------
    file : Path
    path : str
        In the dandiset, with ``/``.
    session : str
        Key of its session: ``subject/session``.
    """

    file: Path
    path: str
    session: str

    @property
    def is_nwb(self) -> bool:
        """True for a session file, False for a video of one."""
        return self.path.endswith(".nwb")


@dataclass
class SessionAssets:
    """A session file with its videos, and the problems of their places.

    Attributes
    ----------
    file : Path
        The session file.
    assets : list of AssetFile
        The session file first; empty if it can't be read.
    problems : list of Problem
        Why DANDI would refuse them.
    notes : list of Problem
        What the user should know.
    """

    file: Path
    assets: list[AssetFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def find_assets(file: Path, key: str = "") -> SessionAssets:
    """Find the place of a session file in a dandiset, and its videos with theirs.

    A file whose name and folder are of DANDI's layout and of its own subject keeps both; another one is placed by the
    ids that it holds. A video keeps its place relative to the session file, which names it so. `key` is that of the
    session in its project.
    """
    session = SessionAssets(file)
    try:
        subject, session_id, videos = SessionFile.at(file).read(_read_content)
    except NwbpipeError as error:
        problem = error.problem
        session.problems.append(Problem(problem.what, str(file), problem.expected, problem.found, problem.hint))
        return session
    if not subject:
        session.problems.append(
            Problem("the file has no subject_id, by which DANDI places it", f"{file} general/subject/subject_id")
        )
        return session
    path = place_session(subject, session_id, file)
    key = key or f"{subject}/{session_id or PurePosixPath(path).stem}"
    session.assets.append(AssetFile(file, path, key))
    for dataset, name in videos:
        _add_video(session, dataset, name, key)
    for asset in session.assets:
        if len(asset.path) > _LONGEST or not asset.path.isprintable():
            session.problems.append(
                Problem("DANDI takes no such name", str(asset.file), found=show_text(asset.path)[:80])
            )
    return session


def place_session(subject: str, session_id: str, file: Path | None = None) -> str:
    """Return the path of a session file in a dandiset.

    Parameters
    ----------
    subject, session_id : str
        Ids that the file holds; characters that have a meaning in DANDI's names become ``-``.
    file : Path, optional
        The file, whose own name is kept if it conforms.
    """
    folder = f"sub-{_LABEL.sub('-', subject)}"
    if file is not None and file.parent.name == folder and file.name.startswith((f"{folder}_", f"{folder}.")):
        organize = require("dandi.organize")
        if re.fullmatch(organize.ORGANIZED_FILENAME_REGEX, file.name):
            return f"{folder}/{file.name}"
    ending = f"_ses-{_LABEL.sub('-', session_id)}" if session_id else ""
    return f"{folder}/{folder}{ending}.nwb"


def _read_content(reader: SessionReader) -> tuple[str, str, list[tuple[str, str]]]:
    """Return subject_id, session_id, and the external files of the image series with their paths in the file."""
    videos = []
    for path, item in walk_objects(reader.file):
        if path.endswith("/external_file") and isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype):
            names = item.asstr()[()]
            videos += [(path, str(name)) for name in (names.ravel() if hasattr(names, "ravel") else [names])]
    return _read_text(reader, "general/subject/subject_id"), _read_text(reader, "general/session_id"), videos


def _read_text(reader: SessionReader, path: str) -> str:
    item = reader.file.get(path)
    if not isinstance(item, h5py.Dataset) or item.shape != () or not h5py.check_string_dtype(item.dtype):
        return ""
    return str(item.asstr()[()]).strip()


def _add_video(session: SessionAssets, dataset: str, name: str, key: str) -> None:
    """Add a video of a session file to its assets, or say why it can't be uploaded."""
    location = f"{session.file} {dataset}"
    if "://" in name:
        session.notes.append(Problem("the video is elsewhere, and is not uploaded", location, found=name))
        return
    expected = "a path relative to the NWB file, below its folder"
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        hint = "convert the session again with `video: link` or `copy`, which places videos beside the file"
        session.problems.append(Problem("DANDI could not find the video", location, expected, name, hint))
        return
    file = session.file.parent / relative
    suffixes = require("dandi.consts").VIDEO_FILE_EXTENSIONS
    if not file.is_file():
        session.problems.append(Problem("the video is missing", location, f"the file {file}", name, "put it there"))
    elif not file.resolve().is_relative_to(session.file.parent.resolve()):
        hint = "put the video itself there, or a hard link"
        session.problems.append(Problem("a symbolic link leads out of the NWB file's folder", str(file), hint=hint))
    elif file.stat().st_size == 0:
        session.problems.append(Problem("the video is empty", location, found=name))
    elif file.suffix.lower() not in suffixes:
        session.problems.append(
            Problem("DANDI takes no such video", location, f"a file that ends in {', '.join(suffixes)}", name)
        )
    else:
        path = str(PurePosixPath(session.assets[0].path).parent / relative)
        if all(asset.path != path for asset in session.assets):
            session.assets.append(AssetFile(file, path, key))


def find_clashes(sessions: Iterable[SessionAssets]) -> None:
    """Add a problem to each session file of which an asset would take the place of another one's."""
    owners: dict[str, list[tuple[SessionAssets, AssetFile]]] = {}
    for session in sessions:
        for asset in session.assets:
            owners.setdefault(asset.path, []).append((session, asset))
    for path, pairs in owners.items():
        if len(pairs) > 1 and not _are_same([asset for _, asset in pairs]):
            names = ", ".join(str(asset.file) for _, asset in pairs)
            for session, _ in pairs:
                hint = "give the sessions ids of their own, or leave all but one out"
                session.problems.append(
                    Problem("several files have one place in the dandiset", names, path, hint=hint)
                )


def _are_same(assets: Sequence[AssetFile]) -> bool:
    return all(asset.file.samefile(assets[0].file) and not asset.is_nwb for asset in assets)
