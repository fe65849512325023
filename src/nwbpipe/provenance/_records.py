"""Run records, the values of a `ProcessingRun`, and reading them: with h5py only, so that each look is quick."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import h5py
import numpy as np

from nwbpipe.errors import DamagedFileError, InvalidResultError
from nwbpipe.files import read_texts

LOCATION = "/general/nwbpipe"
REMOVED = "removed"
SAME_PACKAGES = "same as run"  # instead of the packages: id of an earlier run in the file that has the same

T = TypeVar("T")

_JSON_TYPES: dict[type[Any], str] = {dict: "object", list: "list", str: "text"}

OBJECT_FIELDS = ("name", "path", "object_id", "neurodata_type", "identity")
TEXT_FIELDS = (
    "key",
    "run_id",
    "step",
    "processor",
    "tool",
    "tool_version",
    "parameters_hash",
    "host",
    "python",
    "exit_state",
    "compute_digest",
    "software",
    "superseded_by",
)


@dataclass(frozen=True)
class ObjectRecord:
    """An object of the file that a run read or wrote; or an artefact that it read.

    Attributes
    ----------
    name : str
        Name of the input binding, or of the output container.
    path : str
        HDF5 path at the time of the run; for an artefact ``models://STEP/KEY/IDENTITY``.
    object_id : str
        NWB object id.
    neurodata_type : str
        NWB type.
    identity : str
        Identity of the content (see `identify_object`); empty if it was not computed.
    """

    name: str
    path: str
    object_id: str = ""
    neurodata_type: str = ""
    identity: str = ""

    @property
    def is_artefact(self) -> bool:
        """True for an artefact, which a step of project scope made and which is not in the file."""
        return self.path.startswith("models://")

    def is_in(self, file: h5py.File) -> bool:
        """Return True if the object at its path is still the same: it may have been replaced since."""
        return self.path in file and bool(self.object_id) and has_text(file[self.path], "object_id", self.object_id)


@dataclass(frozen=True)
class RunRecord:
    """The record of one run: its key, parameters, inputs, outputs and environment.

    Attributes
    ----------
    key : str
        Hash of everything that decides the result (`run_key`).
    run_id : str
        Unique id of this execution (hexadecimal UUID).
    step, processor : str
        Names of the step and of its processor.
    revision : int
        Revision of the processor's method.
    tool, tool_version : str
        The tool that computed.
    parameters : mapping
        The parameters with defaults filled in; JSON values.
    parameters_hash : str
        SHA-256 of their canonical JSON.
    inputs, outputs : tuple of ObjectRecord
        Objects read and written.
    started, ended : datetime
        Times with a time zone; UTC.
    host : str
        Name of the profile (never a host name: files become public).
    python : str
        Version of Python in the tool's environment.
    packages : mapping
        Package → version in that environment.
    exit_state : str
        "done" for every committed run.
    seed : int or None
        Seed of the random number generators.
    compute_digest : str
        SHA-256 of the compute module's source.
    software : str
        Writer of the record, such as "nwbpipe 0.2.0".
    superseded_by : str
        Empty while current; else the id of the run that replaced it, or "removed".
    resources : mapping
        Resources that the run used (`cpu_seconds`, `peak_memory_bytes`, …); for a conversion also the `media`
        that it placed beside the file.
    sources : tuple of mappings
        Identities of raw files, for conversions.
    record_digest : str
        Digest of all of it but `superseded_by`, as the file holds it (see `find_record_fault`); empty in records of
        nwbpipe 0.1 and in those that no file holds yet.
    doubt : str
        Why the record counts as current although the file marks it as superseded, in words: the digest can't bind
        that mark, so it is believed only where the rest of the file agrees with it.
    """

    key: str
    run_id: str
    step: str
    processor: str
    revision: int
    tool: str
    tool_version: str
    parameters: Mapping[str, Any]
    parameters_hash: str
    inputs: tuple[ObjectRecord, ...]
    outputs: tuple[ObjectRecord, ...]
    started: datetime
    ended: datetime
    host: str
    python: str
    packages: Mapping[str, str] = field(default_factory=dict)
    exit_state: str = "done"
    seed: int | None = None
    compute_digest: str = ""
    software: str = ""
    superseded_by: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Mapping[str, Any], ...] = ()
    record_digest: str = field(default="", compare=False)
    doubt: str = field(default="", compare=False)

    @property
    def superseded(self) -> bool:
        """True if another run replaced this one, or its results were removed."""
        return bool(self.superseded_by)

    @property
    def name(self) -> str:
        """Name of the record's group: ``<step>_<first 8 of the run id>``."""
        return f"{self.step}_{self.run_id[:8]}"

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values (times as ISO 8601 text in UTC)."""
        return deepcopy(self.list_values())

    def list_values(self) -> dict[str, Any]:
        """Return the same, to be read: its lists and mappings are the record's own."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {name: [vars(item) for item in values[name]] for name in ("inputs", "outputs")}
        values |= {"sources": list(self.sources), "superseded": self.superseded}
        return values | {name: format_time(values[name]) for name in ("started", "ended")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunRecord:
        """Return the record with the values of `as_dict`; other keys are ignored.

        Raises
        ------
        KeyError, TypeError, ValueError
            A field is missing or has the wrong type.
        """
        arguments = {f.name: values[f.name] for f in fields(cls) if f.name not in ("record_digest", "doubt")}
        for name in ("inputs", "outputs"):
            arguments[name] = tuple(ObjectRecord(**item) for item in arguments[name])
        for name in ("started", "ended"):
            arguments[name] = datetime.fromisoformat(arguments[name])
        return cls(**arguments | {"sources": tuple(arguments["sources"])})


def format_time(time: datetime) -> str:
    """Return a time as ISO 8601 text in UTC."""
    if time.tzinfo is None:
        raise InvalidResultError("the time of a run has no time zone", expected="an aware datetime", found=str(time))
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def format_now() -> str:
    """Return the current time as ISO 8601 text in UTC."""
    return format_time(datetime.now(UTC))


def read_records(file: h5py.File) -> list[RunRecord]:
    """Return the run records of an open file, oldest first, superseded ones too.

    Raises
    ------
    DamagedFileError
        A record that can't be read.
    """
    groups = list(iter_run_groups(file))
    packages = {name.rpartition("_")[2]: group for name, group in groups}
    records = _doubt_marks(file, [_read_record(group, packages.get) for _, group in groups])
    return sorted(records, key=lambda record: (record.ended, record.started, record.name))


def read_current_record(file: h5py.File, step: str) -> RunRecord | None:
    """Return the newest record of a step that is not superseded, without reading those of other steps.

    Raises
    ------
    DamagedFileError
        The record can't be read.
    """

    def find_run(start: str) -> h5py.Group | None:
        return next((group for _, group in iter_run_groups(file, ending=f"_{start}")), None)

    groups = [group for _, group in iter_run_groups(file, step)]
    records = [_read_record(group, find_run) for group in groups if not _read_text(group, "superseded_by")]
    current_ids = {output.object_id for record in records for output in record.outputs}
    for group in groups:
        with _describe_damage(group):
            by = _decode_text(group.attrs["superseded_by"])
            outputs = _read_objects(group, "output") if by else ()
        if by and (not has_run(file, by) or _is_any_in(file, outputs, current_ids)):
            records = read_records(file)  # which of the two is right, all of them say
            break
    return find_current_record(sorted(records, key=lambda record: (record.ended, record.started)), step)


def has_run(file: h5py.File, by: str) -> bool:
    """Return True if what superseded a run is in the file: it was removed, or the run of that id has a record."""
    return by == REMOVED or any(has_text(group, "run_id", by) for _, group in iter_run_groups(file, ending=by[:8]))


def _doubt_marks(file: h5py.File, records: list[RunRecord]) -> list[RunRecord]:
    """Return records, of which those count as current that the file can't have superseded.

    A run was superseded if what did it is in the file, and its results are gone or belong to a current run.
    """
    run_ids = {REMOVED, *(record.run_id for record in records)}
    current_ids = {output.object_id for record in records if not record.superseded for output in record.outputs}
    judged = []
    for record in records:
        doubt = ""
        if record.superseded and record.superseded_by not in run_ids:
            doubt = "its record was marked as replaced, by a run that the file has no record of"
        elif record.superseded and _is_any_in(file, record.outputs, current_ids):
            doubt = "its record was marked as superseded, and its result is still in the file"
        judged.append(replace(record, superseded_by="", doubt=doubt) if doubt else record)
    return judged


def _is_any_in(file: h5py.File, outputs: Iterable[ObjectRecord], current_ids: Collection[str]) -> bool:
    return any(output.object_id not in current_ids and output.is_in(file) for output in outputs)


def iter_run_groups(file: h5py.File, step: str = "", ending: str = "") -> Iterator[tuple[str, h5py.Group]]:
    """Yield name and group of the run records: all, those of one step, or those with that end of the name."""
    container = file.get(LOCATION)
    if not isinstance(container, h5py.Group):
        return
    for name in container:
        if not name.endswith(ending) or (step and name[:-9] != step):
            continue
        group = container.get(name)
        if isinstance(group, h5py.Group) and has_text(group, "neurodata_type", "ProcessingRun"):
            yield name, group


def has_text(item: h5py.Group | h5py.Dataset, name: str, text: str) -> bool:
    """Return True if an object has an attribute with that text."""
    value = item.attrs.get(name)
    return isinstance(value, (str, bytes)) and value in (text, text.encode())


def _decode_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if value is None or isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{value!r:.80} is not a text")


def _read_text(group: h5py.Group, name: str) -> str:
    with _describe_damage(group):
        return _decode_text(group.attrs[name])


@contextmanager
def _describe_damage(group: h5py.Group) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, TypeError, OSError, OverflowError, RecursionError) as error:
        raise DamagedFileError(
            "a run record can't be read",
            where=f"{group.file.filename}:{group.name}",
            expected="a ProcessingRun of ndx-nwbpipe",
            found=f"{error}"[:200],
            hint="it was changed by another program, or written by a later nwbpipe",
        ) from error


def _read_record(group: h5py.Group, find_run: Callable[[str], h5py.Group | None]) -> RunRecord:
    with _describe_damage(group):
        attributes = group.attrs
        values: dict[str, Any] = {name: _decode_text(attributes[name]) for name in TEXT_FIELDS}
        values["revision"] = _read_integer(attributes["revision"])
        values["seed"] = _read_integer(attributes["seed"]) if "seed" in attributes else None
        for name in ("started", "ended"):
            values[name] = datetime.fromisoformat(_decode_text(attributes[name])).astimezone(UTC)
        for name in ("parameters", "packages", "resources"):
            values[name] = _read_mapping(group, name)
        if set(values["packages"]) == {SAME_PACKAGES}:
            values["packages"] = _read_packages_of(find_run, values["packages"])
        values["sources"] = _read_mappings(group, "sources")
        values["inputs"] = _read_objects(group, "input")
        values["outputs"] = _read_objects(group, "output")
        values["record_digest"] = _decode_text(attributes.get("record_digest"))
        return RunRecord(**values)
    raise AssertionError("unreachable")


def _read_integer(value: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise TypeError(f"{value!r:.80} is not an integer")


def _read_mapping(group: h5py.Group, name: str) -> dict[str, Any]:
    return dict(_require(json.loads(read_texts(group, name)[()]), dict))


def _read_mappings(group: h5py.Group, name: str) -> tuple[dict[str, Any], ...]:
    if name not in group:
        return ()
    return tuple(_require(item, dict) for item in _require(json.loads(read_texts(group, name)[()]), list))


def _require(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.80} is not a JSON {_JSON_TYPES[kind]}")
    return value


def _read_packages_of(find_run: Callable[[str], h5py.Group | None], reference: dict[str, Any]) -> dict[str, Any]:
    """Return the packages of the earlier run that a record refers to; the reference, if that run is not there."""
    run_id = str(reference[SAME_PACKAGES])
    group = find_run(run_id[:8])
    if group is None or _decode_text(group.attrs.get("run_id")) != run_id:
        return reference
    return _read_mapping(group, "packages")


def _read_objects(group: h5py.Group, kind: str) -> tuple[ObjectRecord, ...]:
    if has_columns(group, kind):
        columns = [
            [_decode_text(value) for value in np.atleast_1d(read_texts(group, f"{kind}_{name}"))]
            for name in OBJECT_FIELDS
        ]
        return tuple(ObjectRecord(*row) for row in zip(*columns, strict=True))
    items = _read_mappings(group, f"{kind}s")
    return tuple(ObjectRecord(*(_require_text(item[name]) for name in OBJECT_FIELDS)) for item in items)


def _require_text(value: Any) -> str:
    """Return a text that HDF5 can hold; JSON can hold others, too."""
    text = _require(value, str)
    if "\0" in text:
        raise ValueError(f"{text!r:.80} holds a null character")
    text.encode()  # raises ValueError at half of a surrogate pair
    return text


def has_columns(group: h5py.Group, kind: str) -> bool:
    """Return True if a record has its inputs or outputs in a dataset for each field: until ndx-nwbpipe 0.3.0."""
    return f"{kind}_name" in group


def find_current_record(records: Sequence[RunRecord], step: str) -> RunRecord | None:
    """Return the newest record of a step that is not superseded, or None."""
    return next((r for r in reversed(records) if r.step == step and not r.superseded), None)
