"""Place the medium of a run beside its session file; remove those that a run no longer needs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from nwbpipe.errors import NwbpipeError
from nwbpipe.files import is_below
from nwbpipe.processors import Context, Processor, Results
from nwbpipe.provenance import RunRecord, mark_superseded, read_current_record, write_record
from nwbpipe.run._computation import ComputedResult
from nwbpipe.session import (
    MEDIA,
    SessionFile,
    SessionReader,
    build_medium_path,
    check_valid,
    find_medium_change,
    has_medium,
    list_external_files,
    list_media,
    name_medium,
    place_medium,
    remove_medium,
    remove_outputs,
    retry_after_conflicts,
)

#: Entry of a record's resources: the media that the run before had placed, and that were removed since.
_REMOVED = "removed_media"
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class MediumRemoval:
    """The removal of a medium, or why it stays.

    Attributes
    ----------
    step : str
        The step that made it.
    path : str
        Its path, relative to the folder of the session file.
    stays : str
        Why it was not removed; empty if it was.
    """

    step: str
    path: str
    stays: str = ""


@dataclass(frozen=True)
class PlacedMedium:
    """A medium in its place: its path for `Context.medium`, and its notes for the record."""

    path: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


@contextmanager
def place_run_medium(
    session: SessionFile, method: Processor, context: Context, scratch: Path, finished: ComputedResult
) -> Iterator[PlacedMedium]:
    """Place what a run left for the folder of media; if the block fails, it is removed again.

    Where the file may hold the run all the same (a commit whose answer was lost), the medium stays.
    """
    if method.medium is None:
        yield PlacedMedium()
        return
    name = name_medium(context.step, finished.run_id, method.medium)
    with h5py.File(scratch / "results.h5", "r") as arrays:
        keep = method.keep_medium(context.params, Results(arrays, finished.summary))
    note = place_medium(session, scratch / method.medium, name)
    if keep is not None:
        note["remove_after"] = (datetime.fromisoformat(finished.ended) + keep).isoformat(timespec="seconds")
    try:
        yield PlacedMedium(build_medium_path(session, name), {name: note})
    except BaseException:
        if not _may_hold(session, finished.run_id):
            remove_medium(session, name, note)
        raise


def add_media(record: RunRecord, medium: PlacedMedium) -> RunRecord:
    """Return a record with the notes of the run's media."""
    return replace(record, resources={**record.resources, MEDIA: medium.notes}) if medium.notes else record


def _may_hold(session: SessionFile, run_id: str) -> bool:
    try:
        return session.read(lambda reader: any(record.run_id == run_id for record in reader.records))
    except (NwbpipeError, OSError):
        return True


def remove_unused_media(session: SessionFile, step: str | None = None) -> list[MediumRemoval]:
    """Remove the media of runs that were replaced, or whose results were removed; of one step, or of all."""
    return _remove_unused(session, *session.read(_read_media), step)


def _remove_unused(
    session: SessionFile, records: Sequence[RunRecord], named: Sequence[tuple[str, str]], step: str | None = None
) -> list[MediumRemoval]:
    return [
        MediumRemoval(
            record.step,
            build_medium_path(session, name),
            _find_user(name, named) or remove_medium(session, name, note),
        )
        for record in records
        if record.superseded and step in (None, record.step)
        for name, note in list_media(record).items()
        if has_medium(session, name)
    ]


def _read_media(reader: SessionReader) -> tuple[list[RunRecord], list[tuple[str, str]]]:
    """Return the records of a file, and if any has media, which dataset names which external file."""
    records = reader.records
    return records, list(list_external_files(reader)) if any(map(list_media, records)) else []


def _find_user(name: str, named: Iterable[tuple[str, str]], own: Sequence[str] = ()) -> str:
    """Return why a medium stays that a series names which is not the run's; nothing if there is none."""
    users = (path for path, file in named if PurePosixPath(file).name == name and not is_below(path, own))
    return next((f"{path} names it, too" for path in users), "")


def remove_expired_media(session: SessionFile, now: datetime | None = None) -> list[MediumRemoval]:
    """Remove the media whose time is over, and those that nothing uses any more; the file says so.

    A medium's series leaves the session file, in one transaction, and a record without outputs takes the place of
    that of the run: the step counts as done, and `nwbpipe log` shows what was removed. Then the medium goes. One that
    was changed since is somebody's, and one that another series names is in use: it stays, and so does what the file
    says of it.
    """
    now = now or datetime.now(UTC)
    removals, is_retired = [], False
    records, named = session.read(_read_media)
    for record in records:
        media, due = list_media(record), _find_due(record)
        if record.superseded or due is None or due > now:
            continue
        try:
            outputs = [output.path for output in record.outputs]
            changes = [
                _find_user(name, named, outputs) or find_medium_change(session, name, note)
                for name, note in media.items()
            ]
            stays = next(filter(None, changes), "")
            if not stays:
                is_retired = True
                retry_after_conflicts(partial(_retire, session, record, now))
        except (NwbpipeError, OSError) as error:
            stays = str(error).partition("\n")[0]
        if stays:
            removals += [MediumRemoval(record.step, build_medium_path(session, name), stays) for name in media]
    if is_retired:
        records, named = session.read(_read_media)
    return removals + _remove_unused(session, records, named)


def _retire(session: SessionFile, record: RunRecord, now: datetime) -> None:
    """Remove the series of a run's media from the session file, and replace its record by one that says so."""
    with session.change(check=lambda file: check_valid(file, session)) as change:
        current = read_current_record(change.file, record.step)
        if current is None or current.run_id != record.run_id:
            return
        remove_outputs(change.file, current)
        successor = replace(
            current,
            run_id=uuid.uuid4().hex,
            outputs=(),
            started=now,
            ended=now,
            resources={_REMOVED: {name: dict(note) for name, note in list_media(current).items()}},
            record_digest="",
        )
        mark_superseded(change.file, current.step, successor.run_id)
        write_record(change.file, successor)


def find_media_due(session: SessionFile) -> datetime | None:
    """Return when `remove_expired_media` has something to do; None if it has nothing until the file changes."""
    times = []
    for record in session.read(lambda reader: reader.records):
        if not record.superseded:
            times.append(_find_due(record))
        elif any(has_medium(session, name) for name in list_media(record)):
            times.append(_AT_ONCE)
    return min((time for time in times if time is not None), default=None)


def _find_due(record: RunRecord) -> datetime | None:
    """Return when the time of all media of a run is over; None if it has none, or one is kept."""
    try:
        times = [datetime.fromisoformat(note["remove_after"]) for note in list_media(record).values()]
    except (KeyError, TypeError, ValueError):
        return None
    return max(times, default=None) if all(time.tzinfo for time in times) else None


def list_removed_media(record: RunRecord) -> dict[str, str]:
    """Return the media of the run before that were removed since, by name: the time that they were due."""
    media = record.resources.get(_REMOVED) if isinstance(record.resources, Mapping) else None
    notes = media.items() if isinstance(media, Mapping) else ()
    return {str(name): str(note.get("remove_after")) for name, note in notes if isinstance(note, Mapping)}


def list_media_outputs(records: Sequence[RunRecord]) -> list[str]:
    """Return the paths of what current runs wrote that made a medium: it is bound by name alone."""
    return [
        output.path for record in records if not record.superseded and list_media(record) for output in record.outputs
    ]
