"""One call: session.yaml → NWB file."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from nwbpipe.converters._build import Built, build_nwbfile
from nwbpipe.converters._checks import check_before, check_written
from nwbpipe.converters._load import load_spec
from nwbpipe.converters._media import placed_media
from nwbpipe.converters._reading import noted
from nwbpipe.converters._record import STEP, add_conversion_record, source_identities
from nwbpipe.converters._spec import SessionSpec
from nwbpipe.errors import NwbpipeError, OverwriteError, WorkError
from nwbpipe.provenance import RunRecord

logger = logging.getLogger("nwbpipe")


def convert(
    spec: Path | str,
    output: Path | str | None = None,
    *,
    overwrite: bool = False,
    discard_results: bool = False,
    stub: bool = False,
    progress: bool = True,
    raw_identity: Literal["full", "stat"] = "full",
    carry: Callable[[Path, RunRecord], object] | None = None,
) -> Path:
    """Convert the raw files of a session into one NWB file.

    The file is built beside its destination and moved into place when it is whole and valid.

    Parameters
    ----------
    spec : path
        The session.yaml.
    output : path, optional
        The NWB file; ``sub-{subject_id}_ses-{session_id}.nwb`` beside the spec where it is not given.
    overwrite : bool
        Replace an existing file, once the new one is whole.
    discard_results : bool
        Do so even if results were written into it, which are lost.
    stub : bool
        Convert only the first samples of each source, for a quick look.
    progress : bool
        Show a progress bar on stderr, where it is a terminal.
    raw_identity : {"full", "stat"}
        What names the content of raw files: their bytes, or their size and time of change.
    carry : callable, optional
        Called with the new file, before it is validated and takes the old one's place, and its record: it may carry
        over results from the old file, which then counts as holding none.

    Returns
    -------
    Path
        The NWB file.

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
    session = load_spec(spec)
    target = _target(session, output)
    discard_results = discard_results or carry is not None
    _check_target(target, overwrite, discard_results)
    with noted("conversion"):
        try:
            started = datetime.now(UTC)
            built = build_nwbfile(session, stub=stub, progress=progress and sys.stderr.isatty())
            check_before(built.nwbfile, session.path)
            identities = source_identities(session, raw_identity)
            record = add_conversion_record(built, session, identities, started, stub=stub)
            _write(
                built, target, overwrite, discard_results, None if carry is None else lambda new: carry(new, record)
            )
        finally:
            gc.collect()  # readers hold files open in circles of references
    return target


def _target(session: SessionSpec, output: Path | str | None) -> Path:
    if output is None:
        name = f"sub-{session.subject.subject_id}_ses-{session.session.session_id}.nwb"
        return session.places.folder / name
    target = Path(output)
    return target if target.suffix == ".nwb" else target.with_name(f"{target.name}.nwb")


def _check_target(target: Path, overwrite: bool, discard_results: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise OverwriteError("the output exists", where=str(target), hint="choose another name, or pass --overwrite")
    results = held_results(target)
    if results and not discard_results:
        raise OverwriteError(
            "the output holds results that would be lost",
            where=str(target),
            found=", ".join(results),
            hint="pass --discard-results as well if they may go",
        )


def held_results(path: Path) -> list[str]:
    """Tell what would be lost with a file beside its conversion: steps, and containers of processing modules."""
    import h5py

    from nwbpipe.files import read_settled
    from nwbpipe.provenance import read_records

    try:
        with read_settled(path, lambda: h5py.File(path, "r", locking=False)) as file:
            records = read_records(file)
            modules = [f"/processing/{name}" for name in file.get("processing", {})]
            containers = [f"{module}/{name}" for module in modules for name in file[module]]
    except OSError:
        return []
    except NwbpipeError as error:
        return [f"run records that can't be read ({error.problem.what})"]
    known = {item.path for record in records for item in record.outputs}
    return sorted({record.step for record in records if record.step != STEP} | (set(containers) - known))


def _write(
    built: Built, target: Path, overwrite: bool, discard_results: bool, carry: Callable[[Path], object] | None
) -> None:
    from nwbpipe.files import create_atomically

    with placed_media(built, target, overwrite), create_atomically(target, overwrite=overwrite) as path:
        _check_target(target, overwrite, discard_results)  # again, with the lock: the conversion may have taken hours
        with noted("writing"):
            _write_hdf5(built, path)
        if carry is not None:
            carry(path)
        check_written(path, target)


def _write_hdf5(built: Built, path: Path) -> None:
    from nwbpipe.converters._hdf5 import write_hdf5

    try:
        write_hdf5(built, path)
    except (NwbpipeError, OSError):
        raise
    except Exception as error:
        raise WorkError(
            "writing the NWB file failed", where=str(path), found=f"{type(error).__name__}: {error}",
            hint="nothing was changed; see the message above, or run with --debug",
        ) from error  # fmt: skip
