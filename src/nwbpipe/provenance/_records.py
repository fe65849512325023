"""Write and read run records: the values of a `ProcessingRun`.

Reading needs h5py only, so that ``nwbpipe log`` answers at once. Writing goes through pynwb.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import h5py

from nwbpipe.errors import DamagedFileError, InvalidResultError
from nwbpipe.files import read_texts
from nwbpipe.provenance._canonical import canonical_json

LOCATION = "/general/nwbpipe"
REMOVED = "removed"

_OBJECT_FIELDS = ("name", "path", "object_id", "neurodata_type", "identity")
_TEXT_FIELDS = (
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
        return (
            self.path in file
            and bool(self.object_id)
            and _decode_text(file[self.path].attrs.get("object_id")) == self.object_id
        )


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
        Writer of the record, such as "nwbpipe 0.1.0".
    superseded_by : str
        Empty while current; else the id of the run that replaced it, or "removed".
    resources : mapping
        Resources that the run used (`cpu_seconds`, `peak_memory_bytes`, …); for a conversion also the `media`
        that it placed beside the file.
    sources : tuple of mappings
        Identities of raw files, for conversions.
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
        values = asdict(self)
        values["started"] = _format_time(self.started)
        values["ended"] = _format_time(self.ended)
        for name in ("inputs", "outputs", "sources"):
            values[name] = list(values[name])
        values["superseded"] = self.superseded
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunRecord:
        """Return the record with the values of `as_dict`; other keys are ignored.

        Raises
        ------
        KeyError, TypeError, ValueError
            A field is missing or has the wrong type.
        """
        arguments = {f.name: values[f.name] for f in fields(cls)}
        for name in ("inputs", "outputs"):
            arguments[name] = tuple(ObjectRecord(**item) for item in arguments[name])
        for name in ("started", "ended"):
            arguments[name] = datetime.fromisoformat(arguments[name])
        return cls(**arguments | {"sources": tuple(arguments["sources"])})


def _format_time(time: datetime) -> str:
    if time.tzinfo is None:
        raise InvalidResultError("the time of a run has no time zone", expected="an aware datetime", found=str(time))
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def read_records(file: h5py.File) -> list[RunRecord]:
    """Return the run records of an open file, oldest first, superseded ones too.

    Raises
    ------
    DamagedFileError
        A record that can't be read.
    """
    records = [_read_record(group) for group in _iter_run_groups(file)]
    return sorted(records, key=lambda record: (record.ended, record.started, record.name))


def _iter_run_groups(file: h5py.File) -> Iterator[h5py.Group]:
    container = file.get(LOCATION)
    if isinstance(container, h5py.Group):
        for child in container.values():
            if isinstance(child, h5py.Group) and _decode_text(child.attrs.get("neurodata_type")) == "ProcessingRun":
                yield child


def _decode_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or isinstance(value, h5py.Empty) else str(value)


def _read_record(group: h5py.Group) -> RunRecord:
    try:
        attributes = group.attrs
        values: dict[str, Any] = {name: _decode_text(attributes[name]) for name in _TEXT_FIELDS}
        values["revision"] = int(attributes["revision"])
        values["seed"] = int(attributes["seed"]) if "seed" in attributes else None
        for name in ("started", "ended"):
            values[name] = datetime.fromisoformat(_decode_text(attributes[name])).astimezone(UTC)
        for name in ("parameters", "packages", "resources"):
            values[name] = json.loads(read_texts(group, name)[()])
        values["sources"] = tuple(json.loads(read_texts(group, "sources")[()]))
        values["inputs"] = _read_objects(group, "input")
        values["outputs"] = _read_objects(group, "output")
        return RunRecord(**values)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise DamagedFileError(
            "a run record can't be read",
            where=f"{group.file.filename}:{group.name}",
            expected="a ProcessingRun of ndx-nwbpipe",
            found=str(error),
            hint="it was changed by another program, or written by a later nwbpipe",
        ) from error


def _read_objects(group: h5py.Group, kind: str) -> tuple[ObjectRecord, ...]:
    if f"{kind}_name" not in group:
        return ()
    columns = [[_decode_text(value) for value in read_texts(group, f"{kind}_{name}")] for name in _OBJECT_FIELDS]
    return tuple(ObjectRecord(*row) for row in zip(*columns, strict=True))


def find_current_record(records: Sequence[RunRecord], step: str) -> RunRecord | None:
    """Return the newest record of a step that is not superseded, or None."""
    return next((r for r in reversed(records) if r.step == step and not r.superseded), None)


def get_record_container(nwbfile: Any) -> Any:
    """Return the container of the records in an NWB file that is open for writing; create it if it is missing."""
    from nwbpipe.extensions import Provenance

    container = nwbfile.lab_meta_data.get("nwbpipe")
    if container is None:
        container = Provenance()
        nwbfile.add_lab_meta_data(container)
    elif not isinstance(container, Provenance):
        raise InvalidResultError(
            "the file's run records were read without nwbpipe's own classes",
            where=LOCATION,
            expected="nwbpipe.extensions imported before the file was opened",
            found=type(container).__qualname__,
            hint="open the file with nwbpipe.transaction",
        )
    return container


def add_record(nwbfile: Any, record: RunRecord) -> None:
    """Add a run record to an NWB file that is open for writing; older records stay as they are.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
        Read by pynwb with `nwbpipe.extensions` imported before (mode "a" or "r+"), or new.
    record : RunRecord
        The record; its container is created if it is missing.

    Raises
    ------
    InvalidResultError
        The file has a record of that name already, or a time has no time zone.
    """
    from nwbpipe.extensions import ProcessingRun

    container = get_record_container(nwbfile)
    if record.name in container.processing_runs:
        raise InvalidResultError("the file has a run record of this name already", where=f"{LOCATION}/{record.name}")
    values: dict[str, Any] = {name: getattr(record, name) for name in _TEXT_FIELDS}
    for kind, objects in (("input", record.inputs), ("output", record.outputs)):
        if objects:  # hdmf refuses an empty dataset: it has no type
            for name in _OBJECT_FIELDS:
                values[f"{kind}_{name}"] = [getattr(item, name) for item in objects]
    if record.seed is not None:
        values["seed"] = record.seed
    container.add_processing_run(
        ProcessingRun(
            name=record.name,
            revision=record.revision,
            started=_format_time(record.started),
            ended=_format_time(record.ended),
            parameters=canonical_json(record.parameters),
            packages=canonical_json(record.packages),
            resources=canonical_json(record.resources),
            sources=canonical_json(list(record.sources)),
            **values,
        )
    )


def mark_superseded(file: h5py.File, step: str, by: str = REMOVED) -> list[str]:
    """Mark the current records of a step as superseded, in place.

    Parameters
    ----------
    file : h5py.File
        Open for writing, before pynwb opens it (within the same transaction).
    step : str
        The step.
    by : str
        Id of the run that replaces them, or "removed".

    Returns
    -------
    list of str
        Paths of the records that were marked; empty if the step had no current record.
    """
    if not by:
        raise ValueError("`by` must name the run that replaces the record, or be 'removed'")
    marked = []
    for group in _iter_run_groups(file):
        if _decode_text(group.attrs.get("step")) == step and not _decode_text(group.attrs.get("superseded_by")):
            group.attrs["superseded_by"] = by
            marked.append(group.name)
    return marked
