"""Build the NWB file of a session in memory, source by source."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbpipe.converters._added import sample_count
from nwbpipe.converters._entities_nwb import add_entities
from nwbpipe.converters._insertions import add_insertions
from nwbpipe.converters._metadata import session_metadata
from nwbpipe.converters._parts import check_segmentation
from nwbpipe.converters._pixel_sizes import add_pixel_sizes
from nwbpipe.converters._probe import place_channels
from nwbpipe.converters._record import list_outputs
from nwbpipe.converters._rules import check_rules
from nwbpipe.converters._source import Source
from nwbpipe.converters._warnings import log_warnings
from nwbpipe.converters.accounts import check_extents
from nwbpipe.converters.clocks._clocks import Clocks
from nwbpipe.converters.neuroconv_fixes import correct_pixel_masks, fix_interfaces
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import ClockError, NwbpipeError, SourceError, SpecError
from nwbpipe.provenance import AlignmentRecord

if TYPE_CHECKING:
    from pynwb import NWBFile

logger = logging.getLogger("nwbpipe")

_COLLISIONS = ("already exists", "already contains", "already has", "cannot add", "Cannot add")


@dataclass
class BuiltSession:
    """A session's file in memory.

    Parameters
    ----------
    nwbfile : NWBFile
        Not written yet; large data are still in the raw files.
    sources : list of Source
        The sources, whose interfaces hold the raw files open, each with the objects that it added.
    alignments : list of AlignmentRecord
        Evidence for the clocks that pulses aligned or whose times were repaired.
    """

    nwbfile: NWBFile
    sources: list[Source]
    alignments: list[AlignmentRecord] = field(default_factory=list)


def build_nwbfile(spec: SessionSpec, *, stub: bool = False, progress: bool = False) -> BuiltSession:
    """Build the NWB file of a session in memory: metadata, every source, all times on the reference clock.

    Parameters
    ----------
    spec : SessionSpec
        The session.
    stub : bool
        Only the first samples of each source that can.
    progress : bool
        Let the data show a progress bar on stderr while they are written.

    Returns
    -------
    BuiltSession

    Raises
    ------
    SpecError, SourceError, ClockError, InvalidResultError
        Before anything is written.
    """
    from neuroconv.tools.nwb_helpers import get_default_nwbfile_metadata, make_nwbfile_from_metadata

    get_default_nwbfile_metadata()  # runs git once for the calling script; while readers run, no program may start
    clocks = Clocks(spec.clocks, spec.reference_clock)  # reads files of times: a bad one is refused before raw data
    sources = [Source(name, part, spec.clock_of(name), spec.paths) for name, part in spec.sources.items()]
    for source in sources:
        source.is_reference = source.clock == spec.reference_clock
    _open_sources(sources, clocks, spec.path, stub, progress)
    for source in sources:
        place_channels(source)
    fix_interfaces(sources, spec.metadata)
    clocks.align(sources, spec.session.session_start_time)
    metadata = session_metadata(spec, sources)
    with log_warnings("metadata"):
        nwbfile: NWBFile = make_nwbfile_from_metadata(metadata=metadata)
    owners: dict[str, str] = {}
    for source in sources:
        _add_source(source, nwbfile, metadata, clocks, owners, spec.path)
    check_rules(sources, nwbfile.session_start_time, spec.path)
    if not stub:  # the first samples of one source need not overlap those of another
        check_extents(sources)
    add_entities(spec, nwbfile)
    add_pixel_sizes(nwbfile, spec, list_outputs(sources))
    add_insertions(spec, nwbfile)
    return BuiltSession(nwbfile, sources, clocks.records)


def _open_sources(sources: list[Source], clocks: Clocks, spec: Path, stub: bool, progress: bool) -> None:
    """Open all sources; an error names every source whose reader refuses its file."""
    errors: list[NwbpipeError] = []
    for source in sources:
        try:
            source.open(stub=stub, timed=clocks.gives_times(source.clock), progress=progress)
        except NwbpipeError as error:
            errors.append(error)
    problems = [problem for error in errors for problem in (error.problems or [error.problem])]
    if len(problems) == 1:
        raise errors[0]
    if problems:
        raise SourceError(f"{len(problems)} things are wrong with the sources", where=str(spec), problems=problems)


def _add_source(
    source: Source, nwbfile: NWBFile, metadata: dict[str, Any], clocks: Clocks, owners: dict[str, str], spec: Path
) -> None:
    """Write a source into the file, and move its times to the reference clock."""
    _check_timing(source)
    check_segmentation(source)
    try:
        source.add_to(nwbfile, metadata)
    except SourceError as error:
        if isinstance(error.__cause__, ValueError):
            _refuse_collision(source, error.__cause__, owners, spec)
        raise
    _check_added_data(source)
    for item in source.added.objects:
        owners.setdefault(item.name, source.name)
    with source.translate_errors():
        notes = correct_pixel_masks(source.interface, source.added)
    with log_warnings(source.where, source.tell):
        notes += clocks.apply(source)
        for note in notes:
            logger.info("%s: %s", source.where, note)


def _check_timing(source: Source) -> None:
    """Refuse several video files without times: the gaps between them are unknown."""
    interface = source.interface
    untimed = getattr(interface, "_timestamps", True) is None and getattr(interface, "_starting_time", True) is None
    if source.spec.video in ("link", "copy") and getattr(interface, "_number_of_files", 1) > 1 and untimed:
        raise ClockError(
            "several video files of one source have no times",
            where=source.where,
            expected="a clock with `align: timestamps`, one time for each frame of all files",
            hint="give a file of frame times, or make each video a source of its own",
        )


def _refuse_collision(source: Source, error: ValueError, owners: dict[str, str], spec: Path) -> None:
    """Refuse a source that writes a name which another source has written, if that is what the error says."""
    text = str(error)
    if not any(part in text for part in _COLLISIONS):
        return
    names = sorted(owners, key=len, reverse=True)
    name = next((name for name in names if f"'{name}'" in text or f'"{name}"' in text), None)
    owner = owners.get(name or "", "another source")
    raise SpecError(
        f"two sources write one name: {name!r}" if name else "two sources write one name",
        where=f"{spec}: {source.where}",
        expected="a name of its own for what each source writes",
        found=f"{owner} has written it, and {source.name} would write it again",
        hint="give another name in `metadata`, another `metadata_key` in args, or another `tag` in options",
    ) from error


def _check_added_data(source: Source) -> None:
    """Refuse a source that left nothing, or a series without samples."""
    from pynwb.base import Image

    series = source.added.series()
    empty = [item.name for item in series if sample_count(item) == 0]
    rows = sum(len(table) - first for table, first in source.added.tables() if table.name not in ("electrodes",))
    images = [item for item in source.added.objects if isinstance(item, Image)]
    if (series and len(empty) == len(series)) or not (series or rows or images):
        raise SourceError(
            f"the source {source.name!r} left nothing in the file",
            where=f"{source.where}: {source.file_names}",
            expected="a series with samples, a table with rows, or an image",
            found=f"{', '.join(empty)} without samples" if empty else "no data",
            hint="check that the files hold data and the arguments choose some",
        )
