"""The record of a conversion: a run like any other, kept in the file that it made."""

from __future__ import annotations

import platform
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

from nwbpipe.converters._build import BuiltSession
from nwbpipe.converters._reader_errors import paths_of
from nwbpipe.converters.clocks._alignment import AddedObjects
from nwbpipe.converters.clocks._clocks import file_paths
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import FileAccessError
from nwbpipe.provenance import (
    FileIdentity,
    IdentityCache,
    ObjectRecord,
    RunRecord,
    add_alignment,
    add_record,
    digest,
    parameters_hash,
    read_host_label,
    run_key,
)
from nwbpipe.stores import is_remote

STEP = "convert"
# The method's revision: raised when the same spec and raw files would give other content.
REVISION = 1
_PACKAGES = ("neuroconv", "pynwb", "hdmf", "h5py", "numpy", "spikeinterface", "neo", "roiextractors", "ndx-pose")


def source_paths(spec: SessionSpec) -> list[tuple[str, Path]]:
    """Raw files and folders of a session, each with the source that names it."""
    return [
        *((name, path) for name in spec.sources for path in paths_of(spec, name)),
        *(("clocks", path) for path in file_paths(spec)),
    ]


class SourceIdentities:
    """Identities of the raw files of a session, hashed in a thread beside the conversion that reads them.

    Size and SHA-256 of each file or folder that a source names. Leaving the block early gives up what is not begun;
    the file that is being hashed is not waited for.
    """

    def __init__(self, spec: SessionSpec, mode: Literal["full", "stat"] = "full") -> None:
        self._spec, self._mode = spec, mode
        self._found: list[dict[str, Any]] = []
        self._error: Exception | None = None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._hash, name="nwbpipe-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()

    def wait(self) -> list[dict[str, Any]]:
        """Wait, and return one mapping for each file or folder.

        Raises
        ------
        FileAccessError, SourceError, LockedFileError
            If a raw file can't be read, or changes meanwhile.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _hash(self) -> None:
        try:
            for name, path in source_paths(self._spec):
                if self._given_up.is_set():
                    return
                place = self._spec.paths.display(path)
                self._found.append({"source": name, "path": place, **self._identity(path)})
        except Exception as error:
            self._error = error

    def _identity(self, path: Path) -> dict[str, Any]:
        places = self._spec.paths
        mode = (
            "full" if is_remote(places.original_location(path)) else self._mode
        )  # a copy's time of change says nothing
        try:
            return identity_values(IdentityCache().identify_file(path, mode=mode, origins=places.stage.origins))
        except OSError as error:
            raise FileAccessError("a raw file can't be read", where=str(path), found=str(error)) from error


def identity_values(identity: FileIdentity) -> dict[str, Any]:
    """Give an identity as a record holds it."""
    values: dict[str, Any] = {"size": identity.size, "sha256": identity.sha256}
    return values if identity.mtime_ns is None else {**values, "mtime_ns": identity.mtime_ns}


def conversion_key(parameters: Mapping[str, Any], identities: Iterable[Mapping[str, Any]]) -> str:
    """Key of a conversion: the spec, and the identities of the raw files."""
    inputs = {
        f"{item['source']}:{item['path']}": ":".join(
            str(item[name]) for name in ("sha256", "size", "mtime_ns") if name in item
        )
        for item in identities
    }
    return run_key(STEP, REVISION, parameters, None, inputs)


def add_conversion_record(built: BuiltSession, spec: SessionSpec, started: datetime, *, stub: bool) -> RunRecord:
    """Put the record of a conversion into the file in memory, before it is written.

    It says nothing of the raw files yet: `with_sources` gives the record that does.
    """
    parameters = {**spec.as_dict(), "stub": stub}
    record = RunRecord(
        key=conversion_key(parameters, []),
        run_id=uuid.uuid4().hex,
        step=STEP,
        processor=STEP,
        revision=REVISION,
        tool="neuroconv",
        tool_version=_version("neuroconv"),
        parameters=parameters,
        parameters_hash=parameters_hash(parameters),
        inputs=(),
        outputs=tuple(_outputs(built)),
        started=started,
        ended=datetime.now(UTC),
        host=read_host_label(),
        python=platform.python_version(),
        packages={name: number for name in _PACKAGES if (number := _version(name))},
        compute_digest=digest(""),
        software=f"nwbpipe {_version('nwbpipe')}",
        sources=(),
    )
    add_record(built.nwbfile, record)
    for alignment in built.alignments:
        add_alignment(built.nwbfile, alignment)
    return record


def with_sources(record: RunRecord, identities: list[dict[str, Any]]) -> RunRecord:
    """Return the record of a conversion of raw files of these identities."""
    return replace(record, key=conversion_key(record.parameters, identities), sources=tuple(identities))


def _outputs(built: BuiltSession) -> Iterable[ObjectRecord]:
    seen: set[int] = set()
    for name, added in built.added.items():
        for item in _outermost_containers(added):
            if id(item) not in seen:
                seen.add(id(item))
                yield ObjectRecord(
                    name=f"{name}: {item.name}",
                    path=_path(item),
                    object_id=item.object_id,
                    neurodata_type=type(item).__name__,
                )


def _outermost_containers(added: AddedObjects) -> Iterable[Any]:
    """Outermost containers among what a source added."""
    ids = {id(item) for item in added.objects}
    for item in added.objects:
        if id(item.parent) not in ids or type(item.parent).__name__ == "ProcessingModule":
            yield item
    yield from (table for table, _ in added.grown_tables)


def _path(item: Any) -> str:
    """HDF5 path that an object in memory will have."""
    from pynwb import NWBFile, ProcessingModule

    parent, name = item.parent, str(item.name)
    if isinstance(parent, NWBFile):
        return f"{next((path for group, path in _PLACES.items() if _is_held_by(parent, group, item)), '')}/{name}"
    if isinstance(parent, ProcessingModule):
        return f"/processing/{parent.name}/{name}"
    return f"{_path(parent)}/{name}" if parent is not None else f"/{name}"


def _is_held_by(nwbfile: Any, group: str, item: Any) -> bool:
    held: Any = getattr(nwbfile, group, None)
    if held is item:
        return True
    if held is None or not hasattr(held, "get") or hasattr(held, "columns"):
        return False
    return bool(held.get(item.name) is item)


_PLACES = {
    "acquisition": "/acquisition",
    "stimulus": "/stimulus/presentation",
    "stimulus_template": "/stimulus/templates",
    "processing": "/processing",
    "events": "/events",
    "devices": "/general/devices",
    "device_models": "/general/devices/models",
    "imaging_planes": "/general/optophysiology",
    "electrode_groups": "/general/extracellular_ephys",
    "electrodes": "/general/extracellular_ephys",
    "icephys_electrodes": "/general/intracellular_ephys",
    "ogen_sites": "/general/optogenetics",
    "lab_meta_data": "/general",
    "intervals": "/intervals",
    "trials": "/intervals",
    "epochs": "/intervals",
    "invalid_times": "/intervals",
    "scratch": "/scratch",
    "analysis": "/analysis",
    "units": "",
}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
