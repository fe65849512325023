"""Edit the results of a session file: remove a step's, rename a step, give back space."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py

from nwbpipe import files
from nwbpipe.errors import InvalidResultError, RequestError, ResultExistsError, UnknownNameError, suggest_names
from nwbpipe.provenance import (
    RunRecord,
    check_step_name,
    find_current_record,
    find_own_identity,
    mark_superseded,
    read_records,
    rename_record,
)
from nwbpipe.session._integrity import find_result_faults
from nwbpipe.session._remove import check_written, find_dependents, remove_outputs
from nwbpipe.session._session_file import SessionFile
from nwbpipe.session._validation import find_validation_errors


@dataclass(frozen=True)
class RemovalReport:
    """The result of `remove_step`.

    Attributes
    ----------
    steps : tuple of str
        The steps whose results went, the one that was asked for first.
    paths : tuple of str
        The containers that went.
    """

    steps: tuple[str, ...]
    paths: tuple[str, ...]


def remove_step(
    path: Path | str, step: str, *, cascade: bool = False, force: bool = False, lock_timeout: float = 60.0
) -> RemovalReport:
    """Remove a step's results from a session file, in one transaction; its record stays, marked "removed".

    The file does not get smaller: `repack` gives the space back.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step.
    cascade : bool
        Whether the results of other steps that link into these, or were made from them, go with them.
    force : bool
        Whether the step's results may go even if another program or a person changed them.
    lock_timeout : float
        Seconds to wait for another writer.

    Returns
    -------
    RemovalReport

    Raises
    ------
    UnknownNameError
        If the file has no current result of that step.
    ChangedResultError
        If another program or a person changed the results of the step, without `force`, or those of another step.
    ResultExistsError
        If other steps depend on it and `cascade` is false, or if an object that is no step's result refers to it.
        The file is as it was.

    Examples
    --------
    >>> remove_step("session.nwb", "suite2p", cascade=True).steps  # doctest: +SKIP
    ('suite2p', 'photometry_of_cells')
    """
    session = _open_changeable(path, step)
    with session.change(lock_timeout=lock_timeout, check=_make_validity_check(session)) as change:
        file, records = change.file, read_records(change.file)
        record = _find_record(records, step, session)
        dependents = find_dependents(file, record, records)
        if dependents and not cascade:
            msg = f"results of other steps depend on those of {step!r}"
            raise ResultExistsError(
                msg,
                where=str(session),
                found=", ".join(dependent.step for dependent in dependents),
                hint="pass --cascade to remove them, too; nothing was changed",
            )
        removed = [record, *dependents]
        paths = tuple(output.path for run in removed for output in run.outputs if output.path in file)
        remove_outputs(file, *removed, force=[step] if force else ())
        for run in removed:
            mark_superseded(file, run.step)
    return RemovalReport(tuple(run.step for run in removed), paths)


def rename_step(path: Path | str, step: str, new: str, *, lock_timeout: float = 60.0) -> tuple[tuple[str, str], ...]:
    """Give a step another name, in one transaction: its containers, the links to them, and its record.

    The run stays the same: its key, and the identity of what it wrote. Asked for under the new name, it is done.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step.
    new : str
        Its new name.
    lock_timeout : float
        Seconds to wait for another writer.

    Returns
    -------
    tuple of (str, str)
        Old and new path of each container that was renamed. Results that bear no step's name, such as ``/units``,
        keep theirs.

    Raises
    ------
    UnknownNameError
        If the file has no current result of that step.
    RequestError
        If `new` is no name for a step.
    ResultExistsError
        If `new` has a result, a container of that name is there, or what the record names is not what the run wrote.
    """
    session = _open_changeable(path, step)
    if check_step_name(new) == step:
        msg = "the step has that name already"
        raise RequestError(msg, where=str(session), found=step)
    with session.change(lock_timeout=lock_timeout, check=_make_validity_check(session)) as change:
        file, records = change.file, read_records(change.file)
        record = _find_record(records, step, session)
        if find_current_record(records, new) is not None:
            msg = f"the step {new!r} has a result already"
            raise ResultExistsError(msg, where=str(session), hint="choose another name, or remove that one first")
        check_written(file, record)
        moves = _plan_moves(file, record, new)
        existing = [target for _, target in moves if target in file]
        if existing:
            msg = "the file has an object of that name already"
            raise ResultExistsError(msg, where=str(session), found=", ".join(existing), hint="choose another name")

        def rename(path: str) -> str:
            # the inner ones come first, so that a path is changed from its end towards its beginning
            for source, target in moves:
                if files.is_below(path, [source]):
                    path = target + path[len(source) :]
            return path

        as_written = not find_result_faults(file, record)
        links = [(link, target) for link, target in files.soft_links(file) if rename(target) != target]
        for source, target in moves:
            file.move(source, target)
        for link, target in links:
            del file[rename(link)]
            file[rename(link)] = h5py.SoftLink(rename(target))
        rename_record(file, record, new, rename, _identify_outputs(file, record, rename) if as_written else {})
    paths = [(output.path, rename(output.path)) for output in record.outputs]
    return tuple((old_path, new_path) for old_path, new_path in paths if new_path != old_path)


def repack(path: Path | str, *, lock_timeout: float = 60.0) -> tuple[int, int]:
    """Write a session file anew, to give back the space of what was removed.

    Every object, attribute, link, reference and stored byte of data is compared before the new file takes the old
    one's place. Needs as much free space as the file is large. An object in S3 is downloaded, and
    uploaded as a whole.

    Parameters
    ----------
    path : path
        A session file, or its address in S3 (``s3://bucket/key``).
    lock_timeout : float
        Seconds to wait for another writer.

    Returns
    -------
    before, after : int
        Its size, in bytes.

    Raises
    ------
    LockedFileError
        If another program writes the file.
    FileAccessError
        If there is no space or no permission. The file is as it was.
    ConflictError
        In S3, if another writer committed meanwhile. Its state stands.
    """
    session = SessionFile.at(path)
    session.require_changeable()
    with session.open():  # refuses what is not a whole NWB file
        pass
    return session.repack(lock_timeout=lock_timeout)


def _open_changeable(path: Path | str, step: str) -> SessionFile:
    """Return a session file that has a result of a step, before anything is locked."""
    session = SessionFile.at(path)
    session.require_changeable()
    session.read(lambda reader: _find_record(reader.records, step, session))
    return session


def _find_record(records: list[RunRecord], step: str, session: SessionFile) -> RunRecord:
    if step == "convert":
        msg = "the conversion is the file itself: its record can't be removed or renamed"
        raise RequestError(msg, where=str(session), hint="convert the session again to replace the file")
    record = find_current_record(records, step)
    if record is not None:
        return record
    steps = sorted({other.step for other in records if not other.superseded and other.step != "convert"})
    msg = f"the file has no result of a step {step!r}"
    if any(other.step == step for other in records):
        msg += ": it was removed or replaced"
    raise UnknownNameError(
        msg,
        where=str(session),
        expected=", ".join(steps) or "none: the file has no results",
        found=step,
        hint=suggest_names(step, steps) or "`nwbpipe log FILE.nwb` shows the runs",
    )


def _identify_outputs(file: h5py.File, record: RunRecord, rename: Callable[[str], str]) -> dict[str, str]:
    """Return the own identities of a run's outputs after a rename, by their new paths: names within them changed."""
    paths = [rename(output.path) for output in record.outputs if output.identity]
    return {path: find_own_identity(file, path).identity for path in paths}


def _plan_moves(file: h5py.File, record: RunRecord, new: str) -> list[tuple[str, str]]:
    """Return the old and new path of each object of a run that bears the step's name, the innermost first."""
    outputs = [output.path for output in record.outputs]
    moves: list[tuple[str, str]] = []
    for path, item in files.walk_objects(file):
        parent, name = posixpath.split(path)
        if not files.is_below(path, outputs) or not ("neurodata_type" in item.attrs or path in outputs):
            continue  # members that are roles (`data`, `timestamps`) bear no step's name
        target = _rename_object(name, record.step, new)
        if target != name:
            moves.append((path, posixpath.join(parent, target)))
    return sorted(moves, key=lambda move: (-move[0].count("/"), move[0]))


def _rename_object(name: str, old: str, new: str) -> str:
    """Return ``<StandardName>_<new>`` for ``<StandardName>_<old>``; also with the name of an input after it."""
    if name.endswith(f"_{old}"):
        return name[: -len(old)] + new
    head, separator, tail = name.rpartition(f"_{old}_")
    return f"{head}_{new}_{tail}" if separator else name


def _make_validity_check(session: SessionFile) -> Callable[[h5py.File], None]:
    """Return a check that refuses an edit with a dangling reference, or a file that is less valid than it was."""

    def check(working: h5py.File) -> None:
        with session.open() as reader:
            lost = sorted(set(files.find_dangling(working)) - set(files.find_dangling(reader.file)))
            faults = find_validation_errors(working, session)
            if faults:
                faults -= find_validation_errors(reader.file, session)
        if lost or faults:
            msg = "the edit would leave the file invalid"
            listed = ", ".join(lost) or "; ".join(sorted(faults)[:5])
            raise InvalidResultError(msg, where=str(session), found=listed, hint="nothing was changed: report it")

    return check
