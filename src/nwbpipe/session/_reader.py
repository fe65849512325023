"""A session file while it is open for reading, and the snapshot that stays when it is closed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import h5py

from nwbpipe.errors import DamagedFileError, NwbpipeError, UnsupportedFileError
from nwbpipe.provenance import (
    LOCATION,
    FileStat,
    RemoteStat,
    RunRecord,
    find_current_record,
    read_current_record,
    read_records,
)
from nwbpipe.session._content import NwbObject, list_nwb_objects

if TYPE_CHECKING:
    from pynwb import NWBFile

_VERSION_TEXT, _VERSION_NUMBER = 40, re.compile(r"(?<![0-9])[0-9]{1,6}(?![0-9])")
Version = FileStat | RemoteStat  # differs between two states of a file; of the same type for the same kind of file


@dataclass(frozen=True)
class Snapshot:
    """The content of a session file in one state, without its data.

    Attributes
    ----------
    version : FileStat or RemoteStat
        Token of the state: a file whose `SessionFile.version` is another has changed since.
    nwb_version : tuple of int
        Version of NWB that the file declares, e.g. ``(2, 8, 0)``.
    records : tuple of RunRecord
        All run records, the oldest first.
    objects : tuple of NwbObject
        All NWB objects but the file itself, by path.
    outputs : frozenset of str
        Paths of the records' outputs that are in the file.
    replaced : frozenset of str
        Those at which another object stands than the run wrote.
    """

    version: Version
    nwb_version: tuple[int, ...]
    records: tuple[RunRecord, ...]
    objects: tuple[NwbObject, ...]
    outputs: frozenset[str]
    replaced: frozenset[str] = frozenset()

    def find_result(self, step: str) -> RunRecord | None:
        """Return the current record of a step, if all its outputs are in the file."""
        return find_result(self.records, step, self.outputs)


class SessionReader:
    """A session file that is open for reading; each part is read when it is first asked for.

    Attributes
    ----------
    file : h5py.File
        The open file.
    version : FileStat or RemoteStat
        Token of the state that is read.
    nwb_version : tuple of int
        Version of NWB that the file declares.

    Raises
    ------
    UnsupportedFileError
        If the file is not NWB 2.
    """

    def __init__(self, file: h5py.File, version: Version) -> None:
        self.file, self.version = file, version
        self.nwb_version = read_nwb_version(file)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def records(self) -> list[RunRecord]:
        """All run records, the oldest first."""
        return read_records(self.file)

    @cached_property
    def objects(self) -> list[NwbObject]:
        """All NWB objects but the file itself, by path."""
        return list_nwb_objects(self.file)

    @cached_property
    def nwbfile(self) -> NWBFile:
        """The `pynwb.NWBFile` without the run records; its data are read on access."""
        return self._stack.enter_context(open_nwb(self.file, "r", without=[LOCATION]))

    def find_result(self, step: str) -> RunRecord | None:
        """Return the current record of a step, if all its outputs are in the file."""
        record = self.find_current(step)
        return None if record is None else find_result([record], step, self.file)

    def find_current(self, step: str) -> RunRecord | None:
        """Return the current record of a step; those of other steps are not read."""
        if "records" in self.__dict__:
            return find_current_record(self.records, step)
        return read_current_record(self.file, step)

    def take_snapshot(self) -> Snapshot:
        """Read records and objects, and return them as values."""
        records = [record for record in self.records if not record.superseded]
        outputs = [output for record in records for output in record.outputs if output.path in self.file]
        return Snapshot(
            self.version,
            self.nwb_version,
            tuple(self.records),
            tuple(self.objects),
            frozenset(output.path for output in outputs),
            frozenset(o.path for o in outputs if o.object_id and not o.is_in(self.file)),
        )


def find_result(records: Sequence[RunRecord], step: str, paths: Container[str]) -> RunRecord | None:
    """Return the current record of a step, if `paths` (those of a file) hold all its outputs."""
    record = find_current_record(records, step)
    if record is None or not all(output.path in paths for output in record.outputs):
        return None
    return record


@contextmanager
def open_nwb(file: h5py.File, mode: str, *, without: Collection[str] = ()) -> Iterator[NWBFile]:
    """Yield the `pynwb.NWBFile` of an open file; hdmf's and pynwb's warnings on older types are left out.

    In mode "a" all that was added in the block is written at its end. Objects at the paths `without` are not read.
    """
    import nwbpipe.extensions  # noqa: F401  (registers our types)
    from nwbpipe.session._large_data import fill_large, take_large
    from nwbpipe.session._nwb_io import SessionIO

    with warnings.catch_warnings():
        for module in ("hdmf", "pynwb"):
            warnings.filterwarnings("ignore", module=rf"{module}\..*")
        with ExitStack() as stack:
            with _translate_errors(file):
                io = stack.enter_context(SessionIO(file, mode, without))
                nwbfile = io.read()
                if mode != "r":
                    _ = nwbfile.objects  # fails where two objects have one id: what is written would refer to either
            if mode == "r":
                yield nwbfile
                return
            old = {id(container) for container in nwbfile.all_children()}
            yield nwbfile
            large = take_large(container for container in nwbfile.all_children() if id(container) not in old)
            io.write(nwbfile, cache_spec=_lacks_schemas(file, io.manager.namespace_catalog))
            fill_large(file, large, io.manager.get_builder)


@contextmanager
def _translate_errors(file: h5py.File) -> Iterator[None]:
    """Say in one line what pynwb and hdmf fail with on a file that is not as they expect it."""
    try:
        yield
    except (NwbpipeError, OSError, MemoryError):  # a commit of another process may be the cause
        raise
    except Exception as error:
        raise DamagedFileError(
            "pynwb can't read the file",
            where=file.filename,
            expected="valid NWB 2",
            found=_describe_error(error),
            hint="`nwbpipe check FILE.nwb` looks further; else ask the program that wrote it",
        ) from error


def _describe_error(error: Exception) -> str:
    """Say in one line what pynwb failed with: of an object that it can't build, the path and the reason."""
    builder, *reasons = error.args or ("",)
    if reasons and hasattr(builder, "path"):  # hdmf's ConstructError
        reason = str(reasons[0]).partition("due to: ")[2] or str(reasons[0])
        return f"/{builder.path.removeprefix('root').lstrip('/')}: {' '.join(reason.split())[:300]}"
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"


def _lacks_schemas(file: h5py.File, catalog: object) -> bool:
    """Return True if hdmf would add a schema to the file: to find out takes as long as to add them."""
    location = file.attrs.get(".specloc")
    return location is None or any(
        f"{name}/{catalog.get_namespace(name=name).version}" not in file[location]  # type: ignore[attr-defined]
        for name in catalog.namespaces  # type: ignore[attr-defined]
    )


def read_nwb_version(file: h5py.File) -> tuple[int, ...]:
    """Return the version of NWB that an open file declares, e.g. ``(2, 8, 0)``.

    Raises
    ------
    UnsupportedFileError
        If the file declares none, or one of NWB 1.
    """
    declared = file.attrs.get("nwb_version")
    if declared is None and "nwb_version" in file:  # NWB 1 kept it in a dataset
        declared = file["nwb_version"][()]
    if declared is None:
        msg = "an HDF5 file, but not NWB"
        raise UnsupportedFileError(
            msg, where=file.filename, expected="the attribute nwb_version", hint="give an NWB 2 file"
        )
    text = declared.decode("utf-8", "replace") if isinstance(declared, bytes) else str(declared)
    text = text if len(text) <= _VERSION_TEXT else f"{text[:_VERSION_TEXT]}… ({len(text)} characters)"
    numbers = tuple(int(part) for part in _VERSION_NUMBER.findall(text.removeprefix("NWB-").split("-")[0]))
    if not numbers or numbers[0] != 2:
        msg = f"NWB version {text} is not supported"
        raise UnsupportedFileError(
            msg, where=file.filename, expected="NWB 2", found=text, hint="convert the raw data to NWB 2"
        )
    return numbers
