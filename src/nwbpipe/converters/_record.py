"""Record a conversion in its file, as a run like any other."""

from __future__ import annotations

import platform
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from nwbpipe.converters._source import Source, find_paths
from nwbpipe.converters._source_account import read_source_account
from nwbpipe.converters.accounts import has_account
from nwbpipe.converters.spec._clock_spec import files_of
from nwbpipe.converters.spec._model import SessionSpec, SourceSpec
from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.provenance import (
    FIELDS,
    FileIdentity,
    IdentityCache,
    ObjectRecord,
    ReadingPace,
    RunRecord,
    add_alignment,
    add_record,
    digest,
    find_own_identity,
    parameters_hash,
    read_fields,
    read_host_label,
    run_key,
)
from nwbpipe.stores import is_remote

if TYPE_CHECKING:
    import h5py

    from nwbpipe.converters._added import AddedObjects
    from nwbpipe.converters._build import BuiltSession

STEP = "convert"
# The method's revision: raised when the same spec and raw files would give other content.
REVISION = 2
ACCOUNTS = "accounts"  # entry of the record's resources: the account of each source, and what was said of it
_PACKAGES = ("neuroconv", "pynwb", "hdmf", "h5py", "numpy", "spikeinterface", "neo", "roiextractors", "ndx-pose")


def source_paths(spec: SessionSpec) -> list[tuple[str, Path]]:
    """Return the raw files and folders of a session, each with the source that it belongs to.

    They are those that the spec names, and those beside them that belong to the same recording by its account, which
    is read once for a loaded spec whose files are all on this machine.
    """
    if spec._raw_files is not None:
        return list(spec._raw_files)
    files = _list_files(spec)
    if all(path.exists() for _, path in files):  # those of a remote store come later
        spec._raw_files = tuple(files)
    return files


def _list_files(spec: SessionSpec) -> list[tuple[str, Path]]:
    return [
        *((name, path) for name, source in spec.sources.items() for path in _paths_of_source(source, spec.paths)),
        *(("insertions", item.regions) for item in (spec.insertions or {}).values() if item.regions is not None),
        *(("clocks", path) for clock in spec.clocks.values() for path in files_of(clock)),
    ]


def _paths_of_source(source: SourceSpec, paths: SpecPaths) -> list[Path]:
    named = list(find_paths(source.args))
    if source.probe is not None and source.probe.file is not None:
        named.append(source.probe.file)
    try:
        account, _ = read_source_account(source.interface, source.args, paths.list_roots())
    except NwbpipeError:  # the conversion says it
        account = None
    files = () if account is None else account.files
    return [*named, *(file for file in files if not any(file.is_relative_to(path) for path in named))]


def watched_folders(spec: SessionSpec) -> list[Path]:
    """Return the folders in which a further file may belong to a source that names a single file."""
    return sorted(
        {
            path.parent
            for source in spec.sources.values()
            if has_account(source.interface)
            for path in find_paths(source.args)
            if not is_remote(spec.paths.original_location(path)) and path.is_file()
        }
    )


class SourceIdentities:
    """Identities of the raw files of a session, hashed in a thread beside the conversion that reads them.

    An identity is the size and SHA-256 of each file or folder that a source names. `pace` keeps both close to each
    other, so that a large file is read from the disk once. Leaving the block early skips the
    files that are not begun; the file that is being hashed is not waited for.
    """

    def __init__(self, spec: SessionSpec, mode: Literal["full", "stat"] = "full") -> None:
        self._spec, self._mode = spec, mode
        self.pace = ReadingPace()
        self._identities: list[dict[str, Any]] = []
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._hash, name="nwbpipe-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.pace.end()

    def wait(self) -> list[dict[str, Any]]:
        """Wait, and return one mapping for each file or folder.

        Raises
        ------
        FileAccessError, SourceError, LockedFileError
            If a raw file can't be read, or changes meanwhile.
        """
        self.pace.end()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._identities

    def _hash(self) -> None:
        try:
            for name, path in source_paths(self._spec):
                if self._stop.is_set():
                    return
                self._identities.append(
                    {"source": name, "path": self._spec.paths.display(path), **self._identify(path)}
                )
        except Exception as error:
            self._error = error

    def _identify(self, path: Path) -> dict[str, Any]:
        paths = self._spec.paths
        is_copy = is_remote(paths.original_location(path))
        mode = "full" if is_copy else self._mode  # a copy's time of change says nothing
        try:
            return identity_values(
                IdentityCache().identify_file(path, mode=mode, origins=paths.stage.origins, pace=self.pace)
            )
        except OSError as error:
            raise FileAccessError("a raw file can't be read", where=str(path), found=str(error)) from error


def identity_values(identity: FileIdentity) -> dict[str, Any]:
    """Return an identity as a record holds it."""
    values: dict[str, Any] = {"size": identity.size, "sha256": identity.sha256}
    return values if identity.mtime_ns is None else {**values, "mtime_ns": identity.mtime_ns}


def conversion_key(parameters: Mapping[str, Any], identities: Iterable[Mapping[str, Any]]) -> str:
    """Compute the key of a conversion from its spec and the identities of the raw files."""
    inputs = {
        f"{item['source']}:{item['path']}": ":".join(
            str(item[name]) for name in ("sha256", "size", "mtime_ns") if name in item
        )
        for item in identities
    }
    return run_key(STEP, REVISION, parameters, None, inputs)


def add_conversion_record(built: BuiltSession, spec: SessionSpec, started: datetime, *, stub: bool) -> RunRecord:
    """Add the record of a conversion to the file in memory, before it is written.

    The record lacks the raw files' identities; `with_sources` adds them.
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
        outputs=tuple(list_outputs(built.sources)),
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


def with_sources(
    record: RunRecord, identities: list[dict[str, Any]], resources: Mapping[str, Any] | None = None
) -> RunRecord:
    """Return the record of a conversion with the identities of its raw files, and what else it used."""
    key = conversion_key(record.parameters, identities)
    return replace(record, key=key, sources=tuple(identities), resources=resources or {})


def identify_contents(file: h5py.File, record: RunRecord, written: Mapping[str, bytes]) -> RunRecord:
    """Return the record of a conversion with the identities of what it wrote, so that a change is noticed later.

    Parameters
    ----------
    file : h5py.File
        The written file.
    record : RunRecord
        Its record.
    written : mapping of str to bytes
        Digests of the large datasets' values, by path: these are not read again.
    """
    outputs = tuple(
        replace(output, identity=find_own_identity(file, output.path, written).identity)
        if output.path in file
        else output
        for output in record.outputs
    )
    return replace(record, outputs=outputs, resources={**record.resources, FIELDS: read_fields(file)})


def describe_accounts(built: BuiltSession) -> dict[str, Any]:
    """Return the account of each source, and what the user was told of it, as the record keeps them."""
    return {
        source.name: {
            **({"not_accounted": source.unaccounted} if source.account is None else source.account.as_record()),
            **({"notes": list(source.notes)} if source.notes else {}),
        }
        for source in built.sources
    }


def list_outputs(sources: Iterable[Source]) -> Iterator[ObjectRecord]:
    """Iterate over the objects that sources added to a file in memory, by `SOURCE: NAME`."""
    recorded: set[int] = set()
    for source in sources:
        for item in _outermost_containers(source.added):
            if id(item) not in recorded:
                recorded.add(id(item))
                yield ObjectRecord(
                    name=f"{source.name}: {item.name}",
                    path=_path(item),
                    object_id=item.object_id,
                    neurodata_type=type(item).__name__,
                )


def _outermost_containers(added: AddedObjects) -> Iterable[Any]:
    """Iterate over the outermost containers among the objects that a source added, and the tables that grew."""
    ids = {id(item) for item in added.objects}
    for item in added.objects:
        if id(item.parent) not in ids or type(item.parent).__name__ == "ProcessingModule":
            yield item
    yield from (table for table, _ in added.grown_tables)


def _path(item: Any) -> str:
    """Return the HDF5 path that an object in memory will have."""
    from pynwb import NWBFile, ProcessingModule

    parent, name = item.parent, str(item.name)
    if isinstance(parent, NWBFile):
        return f"{next((path for group, path in _GROUPS.items() if _is_in_group(parent, group, item)), '')}/{name}"
    if isinstance(parent, ProcessingModule):
        return f"/processing/{parent.name}/{name}"
    return f"{_path(parent)}/{name}" if parent is not None else f"/{name}"


def _is_in_group(nwbfile: Any, group: str, item: Any) -> bool:
    """Return True if an attribute of the file is the item, or a mapping that holds it."""
    value: Any = getattr(nwbfile, group, None)
    if value is item:
        return True
    if value is None or not hasattr(value, "get") or hasattr(value, "columns"):
        return False
    return bool(value.get(item.name) is item)


# Attributes of `NWBFile` and their HDF5 paths.
_GROUPS = {
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
