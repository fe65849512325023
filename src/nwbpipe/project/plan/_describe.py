"""Read who and what the sessions of a project are, from their specs or files; many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from nwbpipe.errors import NwbpipeError
from nwbpipe.files import screen
from nwbpipe.machine import map_forked
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project.state import FileStats, Stats
from nwbpipe.session import SessionFile, SessionReader
from nwbpipe.stores import is_remote

_FEW = 16  # for so many, forks cost as much as they save
Description = tuple[str, str, Mapping[str, str], Stats | None]
T = TypeVar("T")
R = TypeVar("R")


def map_sessions(function: Callable[[T], R], items: Sequence[T], project: ProjectSpec) -> Iterator[R]:
    """Yield what a function returns for each item: in forks, one a core, for many sessions on this machine.

    The clients of a remote store are not safe in a fork.
    """
    is_local = not any(is_remote(root) for roots in project.stores.values() for root in roots)
    return map_forked(function, items) if is_local and len(items) > _FEW else map(function, items)


def describe_sessions(
    paths: Sequence[Path | str], project: ProjectSpec, file_stats: FileStats
) -> Iterator[Description | NwbpipeError]:
    """Yield subject_id, session_id and fields of each spec or session file; or why it can't be read.

    With them come the stats of the files that were read; None if one changed meanwhile, or was not at rest.
    """
    screen([Path(path) for path in paths if str(path).endswith(".nwb") and not is_remote(path)])
    return map_sessions(partial(_try_describing, project=project, file_stats=file_stats), paths, project)


def _try_describing(path: Path | str, project: ProjectSpec, file_stats: FileStats) -> Description | NwbpipeError:
    try:
        first_look = file_stats.look([path])
        subject, session, fields, files = _describe_session(path, project)
        return subject, session, fields, first_look.finish(files)
    except NwbpipeError as error:
        return error


def _describe_session(
    path: Path | str, project: ProjectSpec
) -> tuple[str, str, Mapping[str, str], Iterable[Path | str]]:
    if not str(path).endswith(".nwb"):
        from nwbpipe.converters import summarize_spec

        summary = summarize_spec(path, stores=project.open_stores)
        return summary.subject_id, summary.session_id, summary.fields, summary.files
    fields = _read_fields(path)
    subject = fields.get("subject_id") or "unknown"
    name = str(path).replace("\\", "/").rpartition("/")[2].removesuffix(".nwb")
    return _clean_name(subject), _clean_name(fields.get("session_id") or name), fields, [path]


def _clean_name(text: str) -> str:
    return "".join("_" if letter in '/\\:*?"<>|\0' else letter for letter in text).strip(". ") or "unknown"


def _read_fields(path: Path | str) -> dict[str, str]:
    import h5py

    def read(reader: SessionReader) -> dict[str, str]:
        fields: dict[str, str] = {}
        for group in ("general/subject", "general"):
            for name, item in reader.file.get(group, {}).items():
                if isinstance(item, h5py.Dataset) and item.shape == () and h5py.check_string_dtype(item.dtype):
                    fields[name] = item.asstr()[()]
        for name in ("session_description", "session_start_time", "identifier"):
            if name in reader.file:
                fields[name] = reader.file[name].asstr()[()]
        return fields

    return SessionFile.at(path).read(read)
