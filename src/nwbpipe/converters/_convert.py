"""One call: session.yaml → NWB file."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Literal

from nwbpipe.converters._build import BuiltSession, build_nwbfile
from nwbpipe.converters._checks import check_in_memory, check_written
from nwbpipe.converters._hdf5 import Storage, write_hdf5
from nwbpipe.converters._media import MEDIA, place_media
from nwbpipe.converters._record import (
    ACCOUNTS,
    STEP,
    SourceIdentities,
    add_conversion_record,
    describe_accounts,
    identify_contents,
    source_paths,
    with_sources,
)
from nwbpipe.converters._upload import existing_etag, remote_target, upload
from nwbpipe.converters._warnings import log_warnings
from nwbpipe.converters.spec._load import open_spec
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.disk import open_regular
from nwbpipe.errors import DamagedFileError, NwbpipeError, OverwriteError, RequestError, UnsupportedFileError
from nwbpipe.files import SEARCHED_BYTES, Codec, Layout, create_atomically, find_superblock, open_for_writing
from nwbpipe.foreign import forbid_code
from nwbpipe.machine import leave_out_older_objects
from nwbpipe.provenance import RunRecord, find_current_record, set_sources
from nwbpipe.session import (
    ROWS,
    SessionFile,
    SessionReader,
    SessionSummary,
    count_rows,
    find_unrecorded,
    summarize_session,
)
from nwbpipe.stores import Stage, Stores, is_remote

_NAMED = 20  # results that a message names


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
    options = ConversionOptions(
        overwrite, discard_results, stub, Storage.of(compression, layout, memory_mb), progress, raw_identity, carry
    )
    return convert_session(spec, output, options, stores)[0]


@dataclass(frozen=True)
class ConversionOptions:
    """The options of `convert`, which see."""

    overwrite: bool = False
    discard_results: bool = False
    stub: bool = False
    storage: Storage = field(default_factory=lambda: Storage.of(Codec.GZIP, Layout.PAGED, 1024))
    progress: bool = True
    raw_identity: Literal["full", "stat"] = "full"
    carry: Callable[[Path, RunRecord], object] | None = None


def convert_session(
    spec: Path | str,
    output: Path | str | None,
    options: ConversionOptions,
    stores: Stores | None = None,
    *,
    summarize: bool = False,
) -> tuple[Path | str, SessionSummary]:
    """Convert as `convert` does; return the file and, with `summarize`, a summary of what was written."""
    storage, overwrite, carry = options.storage, options.overwrite, options.carry
    lossless = options.discard_results or carry is not None
    with leave_out_older_objects(), open_spec(spec, stores) as session:
        target = _choose_target(session, output)
        _refuse_raw(target, session)
        with _stage_target(target) as (building, etag):
            if etag is not None or building.exists():
                _refuse_loss(target, overwrite, lossless)
            with log_warnings("conversion"), session.paths.stage_remote():
                started = datetime.now(UTC)
                built = build_nwbfile(session, stub=options.stub, progress=options.progress and sys.stderr.isatty())
                check_in_memory(built.nwbfile, session.path)
                record = add_conversion_record(built, session, started, stub=options.stub)
                summary = _summarize(built, record, session) if summarize else SessionSummary()
                raw, stage = [path for _, path in source_paths(session)], session.paths.stage.folder
                with (
                    SourceIdentities(session, options.raw_identity) as identities,
                    place_media(built, building, raw, overwrite=overwrite, stage=stage) as media,
                    create_atomically(building, overwrite=overwrite) as path,
                ):
                    if building.exists():  # again, with the lock: the conversion may have taken hours
                        _refuse_loss(building, overwrite, lossless)
                    with _forbid_code(built):  # readers read large data only now
                        written = write_hdf5(built, path, storage, progress=identities.pace.advance)
                    resources = {ACCOUNTS: describe_accounts(built), **({MEDIA: media} if media else {})}
                    record = with_sources(record, identities.wait(), resources)
                    with open_for_writing(path, "r+") as file:
                        record = replace(record, resources={**record.resources, ROWS: count_rows(file)})
                        record = identify_contents(file, record, written)
                        set_sources(file, record)
                    if carry is not None:
                        carry(path, record)
                    check_written(path, building)
                del built
                gc.collect()  # readers hold files open in circles of references
        return target, summary


def preview_conversion(spec: Path | str, *, stub: bool = False, stores: Stores | None = None) -> SessionSummary:
    """Do all that `convert` does but read the data, and write nothing; return a summary of what would be written.

    Raises
    ------
    SpecError, SourceError, ClockError, ToolMissingError, InvalidResultError
        As `convert`.
    """
    with open_spec(spec, stores) as session, log_warnings("conversion"), session.paths.stage_remote():
        built = build_nwbfile(session, stub=stub)
        check_in_memory(built.nwbfile, session.path)
        record = add_conversion_record(built, session, datetime.now(UTC), stub=stub)
        return _summarize(built, record, session)


def _summarize(built: BuiltSession, record: RunRecord, session: SessionSpec) -> SessionSummary:
    sources = tuple({"source": name, "path": session.paths.display(path)} for name, path in source_paths(session))
    record = replace(record, sources=sources, resources={ACCOUNTS: describe_accounts(built)})
    return summarize_session(built.nwbfile, record)


def _choose_target(session: SessionSpec, output: Path | str | None) -> Path | str:
    if is_remote(output):
        assert output is not None
        return remote_target(output)
    if output is None and session.paths.mirrored is not None:
        msg = "the spec is not on this machine, so the output needs a name"
        raise RequestError(msg, where=str(session.path.name), hint="name the output: --output OUT.nwb")
    if output is None:
        name = f"sub-{session.subject.subject_id}_ses-{session.session.session_id}.nwb"
        return session.paths.folder / name
    target = Path(output)
    if target.suffix == ".nwb":
        return target
    with_suffix = target.with_name(f"{target.name}.nwb")
    if target.is_dir() and not with_suffix.exists():  # a file that exists may have a folder of that name for videos
        hint = f"name the file: {target / 'session.nwb'}"
        raise RequestError("the output is a folder", where=str(target), expected="a file, OUT.nwb", hint=hint)
    return with_suffix


def _forbid_code(built: BuiltSession) -> AbstractContextManager[None]:
    """Keep readers from running what the raw files hold, unless the user trusts all of them."""
    foreign = [source for source in built.sources if not source.is_trusted]
    if not foreign:
        return nullcontext()
    scope = reduce(or_, (source.scope for source in built.sources))
    return forbid_code("; ".join(f"{source.where}: {source.file_names}" for source in foreign), None, scope)


@contextmanager
def _stage_target(target: Path | str) -> Iterator[tuple[Path, str | None]]:
    """Yield the local path to build at and the ETag of the object in the target's place; upload at the end.

    A local target is built at its own path, and has no ETag.
    """
    if isinstance(target, Path):
        yield target, None
        return
    etag = existing_etag(target)
    with Stage() as stage:
        building = stage.folder / target.rpartition("/")[2]
        yield building, etag
        upload(building, target, etag)


def _refuse_raw(target: Path | str, session: SessionSpec) -> None:
    """Refuse an output that is a raw file of the session, or a file in a raw folder that nwbpipe did not make."""
    output = target.resolve().as_posix() if isinstance(target, Path) else target
    for name, path in source_paths(session):
        location = session.paths.original_location(path)
        raw = location if is_remote(location) else Path(location).resolve().as_posix()
        is_inside = output.startswith(f"{raw}/") and _exists(target) and not _has_conversion(target)
        if output == raw or is_inside:
            raise OverwriteError(
                f"the output is raw data of the source {name!r}",
                where=str(target),
                expected="a path of its own for the NWB file",
                found=location,
                hint="name another output; nwbpipe never overwrites raw data",
            )


def _exists(target: Path | str) -> bool:
    return target.exists() if isinstance(target, Path) else existing_etag(target) is not None


def _refuse_loss(target: Path | str, overwrite: bool, lossless: bool) -> None:
    """Refuse to replace a file without `overwrite`, or results that are neither carried over nor given up."""
    if not overwrite:
        raise OverwriteError("the output exists", where=str(target), hint="choose another name, or pass --overwrite")
    if isinstance(target, Path) and target.is_file() and target.stat().st_size:
        with open_regular(target) as file:
            start = file.read(SEARCHED_BYTES)
        if find_superblock(start) is None:
            raise OverwriteError(
                "the output exists, and is not an NWB file",
                where=str(target),
                found=f"it starts with {start[:8]!r}"
                + (f"; a link to {target.resolve()}" if target.is_symlink() else ""),
                hint="choose another name, or remove the file if it may go",
            )
    results = [] if lossless else list_results(target)
    if results:
        more = f", and {len(results) - _NAMED} more" if len(results) > _NAMED else ""
        raise OverwriteError(
            "the output holds results or other objects that would be lost",
            where=str(target),
            found=", ".join(results[:_NAMED]) + more,
            hint="pass --discard-results as well if they may go",
        )


def list_results(path: Path | str) -> list[str]:
    """Return what a file holds beside its conversion: steps, and the paths of objects added by hand."""
    try:
        with SessionFile.at(path).open() as reader:
            return _list_results(reader)
    except (UnsupportedFileError, DamagedFileError):
        return []


def _list_results(reader: SessionReader) -> list[str]:
    try:
        records = reader.records
    except NwbpipeError as error:
        return [f"run records that can't be read ({error.problem.what})"]
    steps = {record.step for record in records if record.step != STEP}
    return sorted(steps | set(find_unrecorded(reader.file, records)))


def _has_conversion(path: Path | str) -> bool:
    """Return True if a file was converted by nwbpipe."""
    try:
        return SessionFile.at(path).read(lambda reader: find_current_record(reader.records, STEP)) is not None
    except (OSError, NwbpipeError):
        return False
