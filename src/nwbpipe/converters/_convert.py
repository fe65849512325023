"""One call: session.yaml → NWB file."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import h5py

from nwbpipe import session as session_file
from nwbpipe.converters._build import BuiltSession, build_nwbfile
from nwbpipe.converters._checks import check_in_memory, check_written
from nwbpipe.converters._hdf5 import Storage, write_hdf5
from nwbpipe.converters._media import MEDIA, place_media
from nwbpipe.converters._reader_errors import log_warnings
from nwbpipe.converters._record import STEP, SourceIdentities, add_conversion_record, source_paths, with_sources
from nwbpipe.converters._upload import existing_etag, remote_target, upload
from nwbpipe.converters.spec._load import open_spec
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import NwbpipeError, OverwriteError, Problem, RequestError, WorkError
from nwbpipe.files import Codec, Layout
from nwbpipe.provenance import RunRecord, set_sources
from nwbpipe.stores import Stage, Stores, is_remote

logger = logging.getLogger("nwbpipe")
_LEAST_MEMORY_MB = 64


def convert(
    spec: Path | str,
    output: Path | str | None = None,
    *,
    overwrite: bool = False,
    discard_results: bool = False,
    stub: bool = False,
    compression: Codec | str = Codec.GZIP,
    layout: Layout | str = Layout.PAGED,
    memory_mb: int = 1024,
    progress: bool = True,
    raw_identity: Literal["full", "stat"] = "full",
    carry: Callable[[Path, RunRecord], object] | None = None,
    stores: Stores | None = None,
) -> Path | str:
    """Convert the raw files of a session into one NWB file.

    The file is built beside its destination and moved into place when it is whole and valid. For a destination in
    S3 it is built in scratch and uploaded as a whole, in the place of nothing, or of what was there at the beginning.

    Parameters
    ----------
    spec : path
        The session.yaml, or its URL.
    output : path, optional
        The NWB file, or its address in S3; ``sub-{subject_id}_ses-{session_id}.nwb`` beside the spec where it is
        not given.
    overwrite : bool
        Replace an existing file, once the new one is whole.
    discard_results : bool
        Do so even if results were written into it, which are lost.
    stub : bool
        Convert only the first samples of each source, for a quick look.
    compression : {"gzip", "zstd", "none"}
        How large data are stored: gzip, which every HDF5 reader has; zstd, for which readers need hdf5plugin; or not.
    layout : {"paged", "plain"}
        Paged for few requests over a network, or plain for readers older than HDF5 1.10.
    memory_mb : int
        How much of the data may be held in memory at a time (MiB); at least 64.
    progress : bool
        Show a progress bar on stderr, where it is a terminal.
    raw_identity : {"full", "stat"}
        What names the content of raw files: their bytes, or their size and time of change.
    carry : callable, optional
        Called with the new file, before it is validated and takes the old one's place, and its record: it may carry
        over results from the old file, which then counts as holding none.
    stores : Stores, optional
        Of the project; those of the nearest ``nwbpipe.toml`` above the spec by default.

    Returns
    -------
    Path or str
        The NWB file, or its address.

    Raises
    ------
    SpecError
        The spec has mistakes, all of them named.
    OverwriteError
        The output exists, or holds results.
    SourceError, ClockError, ToolMissingError
        A raw file can't be read, left nothing, or its times don't fit.
    InvalidResultError
        NWB or DANDI would refuse the file.
    """
    storage = _check_storage(compression, layout, memory_mb)
    how = _ConversionOptions(storage, overwrite, discard_results, stub, progress, raw_identity, carry)
    with open_spec(spec, stores) as session:
        target = _choose_target(session, output)
        if isinstance(target, Path):
            _check_target(target, how)
            _convert_with_notes(session, target, how)
            return target
        before = existing_etag(target)
        if before is not None:
            _refuse_loss(target, how)
        with Stage() as stage:
            building = stage.folder / target.rpartition("/")[2]
            _convert_with_notes(session, building, replace(how, overwrite=False, discard_results=False))
            upload(building, target, before)
        return target


@dataclass(frozen=True)
class _ConversionOptions:
    """What was asked of a conversion."""

    storage: Storage
    overwrite: bool
    discard_results: bool
    stub: bool
    progress: bool
    raw_identity: Literal["full", "stat"]
    carry: Callable[[Path, RunRecord], object] | None


def _convert_with_notes(session: SessionSpec, target: Path, how: _ConversionOptions) -> None:
    with log_warnings("conversion"), session.paths.stage_remote():
        try:
            _convert(session, target, how)
        finally:
            gc.collect()  # readers hold files open in circles of references


def _check_storage(compression: Codec | str, layout: Layout | str, memory_mb: int) -> Storage:
    """Check how the file is to be stored, before anything is read."""
    found = []
    if compression not in list(Codec):
        found.append(Problem("no such compression", expected=", ".join(Codec), found=str(compression)))
    if layout not in list(Layout):
        found.append(Problem("no such layout", expected=", ".join(Layout), found=str(layout)))
    if memory_mb < _LEAST_MEMORY_MB:
        found.append(
            Problem("too little memory", expected=f"{_LEAST_MEMORY_MB} MiB or more", found=f"{memory_mb} MiB")
        )
    if found:
        raise RequestError("the file can't be stored in that way", problems=found)
    Codec(compression).options()  # refuses what is not installed
    return Storage(Codec(compression), Layout(layout), memory_mb * 2**20)


def _convert(session: SessionSpec, target: Path, how: _ConversionOptions) -> None:
    started = datetime.now(UTC)
    built = build_nwbfile(session, stub=how.stub, progress=how.progress and sys.stderr.isatty())
    check_in_memory(built.nwbfile, session.path)
    record = add_conversion_record(built, session, started, stub=how.stub)
    with SourceIdentities(session, how.raw_identity) as identities:
        _write(built, record, identities, target, how, session)


def _choose_target(session: SessionSpec, output: Path | str | None) -> Path | str:
    if is_remote(output):
        assert output is not None
        return remote_target(output)
    if output is None and session.paths.mirrored is not None:
        msg = "the spec is not on this machine, and its folder no place for the file"
        raise RequestError(msg, where=str(session.path.name), hint="name the output: --output OUT.nwb")
    if output is None:
        name = f"sub-{session.subject.subject_id}_ses-{session.session.session_id}.nwb"
        return session.paths.folder / name
    target = Path(output)
    if target.suffix == ".nwb":
        return target
    named = target.with_name(f"{target.name}.nwb")
    if target.is_dir() and not named.exists():  # one that is there may have a folder of that name for its videos
        hint = f"name the file: {target / 'session.nwb'}"
        raise RequestError("the output is a folder", where=str(target), expected="a file, OUT.nwb", hint=hint)
    return named


def _check_target(target: Path, how: _ConversionOptions) -> None:
    if target.exists():
        _refuse_loss(target, how)


def _refuse_loss(target: Path | str, how: _ConversionOptions) -> None:
    """Refuse to replace a file that is there, unless that was asked for."""
    if not how.overwrite:
        raise OverwriteError("the output exists", where=str(target), hint="choose another name, or pass --overwrite")
    results = [] if how.discard_results or how.carry is not None else list_results(target)
    if results:
        raise OverwriteError(
            "the output holds results that would be lost",
            where=str(target),
            found=", ".join(results),
            hint="pass --discard-results as well if they may go",
        )


def list_results(path: Path | str) -> list[str]:
    """Tell what would be lost with a file beside its conversion: steps, and containers of processing modules."""
    from nwbpipe.provenance import read_records

    try:
        with session_file.open_hdf5(path) as file:
            records = read_records(file)
            modules = [f"/processing/{name}" for name in file.get("processing", {})]
            containers = {f"{module}/{name}" for module in modules for name in file[module]}
            known = {item.path for record in records for item in record.outputs if item.is_in(file)}
    except OSError:
        return []
    except NwbpipeError as error:
        return [f"run records that can't be read ({error.problem.what})"]
    return sorted({record.step for record in records if record.step != STEP} | (containers - known))


def _write(
    built: BuiltSession,
    record: RunRecord,
    identities: SourceIdentities,
    target: Path,
    how: _ConversionOptions,
    session: SessionSpec,
) -> None:
    from nwbpipe.files import create_atomically

    sources = [path for _, path in source_paths(session)]
    stage = session.paths.stage.folder
    with (
        place_media(built, target, sources, overwrite=how.overwrite, stage=stage) as media,
        create_atomically(target, overwrite=how.overwrite) as path,
    ):
        _check_target(target, how)  # again, with the lock: the conversion may have taken hours
        with log_warnings("writing"):
            _write_hdf5(built, path, how.storage)
        record = replace(with_sources(record, identities.wait()), resources={MEDIA: media} if media else {})
        with h5py.File(path, "r+") as file:
            set_sources(file, record)
        if how.carry is not None:
            how.carry(path, record)
        check_written(path, target)


def _write_hdf5(built: BuiltSession, path: Path, storage: Storage) -> None:
    try:
        write_hdf5(built, path, storage)
    except (NwbpipeError, OSError):
        raise
    except Exception as error:
        raise WorkError(
            "writing the NWB file failed", where=str(path), found=f"{type(error).__name__}: {error}",
            hint="nothing was changed; see the message above, or run with --debug",
        ) from error  # fmt: skip
