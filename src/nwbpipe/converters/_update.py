"""Compare a spec with the record of its conversion, and edit the file where only metadata changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.converters._pixel_sizes import KEY, PIXEL_SIZES, write_pixel_sizes
from nwbpipe.converters._record import STEP, conversion_key
from nwbpipe.errors import InputError
from nwbpipe.provenance import (
    RunRecord,
    add_record,
    find_current_record,
    mark_superseded,
    parameters_hash,
    read_records,
)
from nwbpipe.session import ROWS, transaction

# Fields whose place in an NWB file is one dataset, and that nothing else in it follows from.
_SESSION = {
    "session_description": "/session_description",
    "stimulus_notes": "/general/stimulus",
    **{
        name: f"/general/{name}"
        for name in (
            "experimenter", "experiment_description", "institution", "keywords", "lab", "notes", "pharmacology",
            "protocol", "related_publications", "slices", "surgery", "virus", "data_collection",
        )
    },
}  # fmt: skip
_SUBJECT = {
    name: f"/general/subject/{name}"
    for name in ("age", "date_of_birth", "description", "genotype", "sex", "species", "strain", "weight")
}

# Other parts of the spec that stand in the same text of the file (`describe_entities`): an edit would lose them.
_SHARED_TEXTS = {
    "/general/surgery": (("subject", "surgeries"), ("subject", "implants")),
    "/general/virus": (("subject", "injections"),),
    "/general/notes": (("session", "attributes"),),
    "/general/subject/description": (("subject", "line"),),
}


@dataclass(frozen=True)
class SpecChanges:
    """Differences between the spec of a conversion's record and the current spec.

    Attributes
    ----------
    metadata : mapping
        HDF5 path → new value, for the fields that an edit of the file can change.
    differences : tuple of str
        The changes in words: ``subject.sex 'M' → 'F'``.
    rebuild : bool
        True if the changes need a new conversion.
    pixel_sizes : bool
        True if the size of a pixel changed in a source that stays.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    rebuild: bool = False
    pixel_sizes: bool = False


def compare_specs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> SpecChanges:
    """Compare the parameters of two conversions.

    Parameters
    ----------
    recorded : mapping
        Parameters of the recorded conversion.
    current : mapping
        `SessionSpec.as_dict` of the current spec, with ``stub``.
    """
    edits: dict[str, Any] = {}
    differences: list[str] = []
    rebuild = pixel_sizes = False
    for keys, old, new in _differences(recorded, current):
        differences.append(f"{'.'.join(keys)} {_format_value(old)} → {_format_value(new)}")
        if keys[0] == "sources" and keys[2:] == (KEY,):
            pixel_sizes = True
            continue
        path = {"subject": _SUBJECT, "session": _SESSION}.get(keys[0], {}).get(".".join(keys[1:]))
        if path is not None and _is_complete_text(path, old, new, current):
            edits[path] = new
        else:
            rebuild = True
    return SpecChanges(edits, tuple(differences), rebuild, pixel_sizes)


def _is_complete_text(path: str, old: Any, new: Any, current: Mapping[str, Any]) -> bool:
    """Return True if a new value is all of the file's text at that path."""
    if new is None:  # without the spec's value, the raw files' may count
        return False
    if any(isinstance(item, Mapping) for value in (old, new) if isinstance(value, list) for item in value):
        return False  # notes with a table of their own
    return not any(current[section].get(name) for section, name in _SHARED_TEXTS.get(path, ()))


def _differences(
    recorded: Mapping[str, Any], current: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for name in sorted({*recorded, *current}):
        old, new = recorded.get(name), current.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, (*path, name))
        elif old != new:
            yield (*path, name), old, new


def _format_value(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def update_metadata(
    file: Path | str,
    parameters: Mapping[str, Any],
    *,
    lock_timeout: float = 60.0,
    check: Callable[[h5py.File], None] | None = None,
) -> RunRecord:
    """Bring the metadata of a session file up to date with its spec, in one transaction; no result is touched.

    Parameters
    ----------
    file : Path or str
        The session file, or its address in S3.
    parameters : mapping
        `SessionSpec.as_dict` of the current spec, with ``stub``.
    lock_timeout : float
        Seconds to wait for another writer.
    check : callable, optional
        Called with the finished file before it takes its place: raising refuses it.

    Returns
    -------
    RunRecord
        The new record of the conversion: it takes the place of the one before.

    Raises
    ------
    InputError
        If the file was not converted by nwbpipe, or more than metadata changed.
    """
    run_id = uuid.uuid4().hex
    records: list[RunRecord] = []
    sources = parameters.get("sources", {})
    sizes = {name: source[KEY] for name, source in sources.items() if KEY in source}
    changed_sizes = False

    def edit(working: h5py.File) -> None:
        nonlocal changed_sizes
        old = find_current_record(read_records(working), STEP)
        if old is None:
            msg = "the file has no record of a conversion"
            raise InputError(msg, where=str(file), hint="convert the session again")
        changes = compare_specs(old.parameters, parameters)
        if changes.rebuild:
            msg = "more than metadata changed: the session has to be converted again"
            raise InputError(msg, where=str(file), found="; ".join(changes.differences))
        for path, value in changes.metadata.items():
            _set_text(working, path, value)
        changed_sizes = changes.pixel_sizes
        if changed_sizes and PIXEL_SIZES in working:
            del working[PIXEL_SIZES]
        mark_superseded(working, STEP, run_id)
        now = datetime.now(UTC)
        records.append(
            replace(
                old, run_id=run_id, key=conversion_key(parameters, old.sources), parameters=dict(parameters),
                parameters_hash=parameters_hash(parameters), started=now, ended=now,
            )
        )  # fmt: skip

    with transaction(file, lock_timeout=lock_timeout, before=edit, check=check) as nwbfile:
        if changed_sizes:
            rows = write_pixel_sizes(nwbfile, sizes, records[0].outputs, str(file))
            records[0] = _count_rows(records[0], rows)
        add_record(nwbfile, records[0])
    return records[0]


def _count_rows(record: RunRecord, rows: int) -> RunRecord:
    """Return the record with the rows that the table of pixel sizes has now."""
    counts = record.resources.get(ROWS)
    if not isinstance(counts, Mapping):  # nwbpipe 0.1 did not keep it
        return record
    counts = {path: count for path, count in counts.items() if path != PIXEL_SIZES}
    counts |= {PIXEL_SIZES: rows} if rows else {}
    return replace(record, resources={**record.resources, ROWS: counts})


def _set_text(working: h5py.File, path: str, value: Any) -> None:
    """Write a text or a list of texts, as pynwb does; attributes (the reference of an age) stay."""
    attributes = dict(working[path].attrs) if path in working else {}
    if path in working:
        del working[path]
    texts = value if isinstance(value, str) else [str(item) for item in value]
    working.create_dataset(path, data=texts, dtype=h5py.string_dtype("utf-8"))
    for name, item in attributes.items():
        working[path].attrs[name] = item
