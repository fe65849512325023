"""Building the NWB file of a session in memory, source by source."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nwbpipe.converters._build_sources import BuiltSource, build_sources, frame_numbers
from nwbpipe.converters._entities_nwb import add_entities
from nwbpipe.converters._metadata import session_metadata
from nwbpipe.converters._reader_errors import log_warnings, paths_of, translate_reader_errors
from nwbpipe.converters.clocks._alignment import AddedObjects, Snapshot, sample_count
from nwbpipe.converters.clocks._clocks import Clocks
from nwbpipe.converters.neuroconv_fixes._masks import mend_pixel_masks
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import ClockError, SourceError, SpecError
from nwbpipe.provenance import AlignmentRecord

if TYPE_CHECKING:
    from pynwb import NWBFile

logger = logging.getLogger("nwbpipe")


@dataclass
class BuiltSession:
    """A session's file in memory.

    Parameters
    ----------
    nwbfile : NWBFile
        Not written yet; large data are still in the raw files.
    sources : list of Source
        The sources, whose interfaces hold the raw files open.
    added : dict
        What each source wrote.
    alignments : list of AlignmentRecord
        How the clocks were aligned, where pulses did it or times were repaired.
    """

    nwbfile: NWBFile
    sources: list[BuiltSource]
    added: dict[str, AddedObjects]
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
    Built

    Raises
    ------
    SpecError, SourceError, ClockError, InvalidResultError
        Before anything is written.
    """
    clocks = Clocks(spec)
    clocked = {name for name in spec.sources if clocks.gives_times(name)}
    sources = build_sources(spec, stub=stub, clocked=clocked, progress=progress)
    clocks.align(sources)
    metadata = session_metadata(spec, sources)
    nwbfile = _new_nwbfile(metadata)
    added: dict[str, AddedObjects] = {}
    owners: dict[str, str] = {}
    for source in sources:
        added[source.name] = _add_source(spec, source, nwbfile, metadata, clocks, stub, owners)
    add_entities(spec, nwbfile)
    return BuiltSession(nwbfile, sources, added, clocks.records)


def _new_nwbfile(metadata: dict[str, Any]) -> NWBFile:
    from neuroconv.tools.nwb_helpers import make_nwbfile_from_metadata

    with log_warnings("metadata"):
        nwbfile: NWBFile = make_nwbfile_from_metadata(metadata=metadata)
    return nwbfile


def _add_source(
    spec: SessionSpec,
    source: BuiltSource,
    nwbfile: NWBFile,
    metadata: dict[str, Any],
    clocks: Clocks,
    stub: bool,
    owners: dict[str, str],
) -> AddedObjects:
    before = Snapshot.take(nwbfile)
    _check_timing(source)
    with translate_reader_errors(spec, source.name, source.spec.interface, type(source.interface)):
        try:
            source.interface.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **source.options)
        except ValueError as error:
            _refuse_collision(spec, source, error, owners)
            raise
    added = before.find_added(nwbfile)
    _check_added_data(spec, source, added)
    for item in added.objects:
        owners.setdefault(item.name, source.name)
    with translate_reader_errors(spec, source.name, source.spec.interface, type(source.interface)):
        frames = frame_numbers(source.interface)
        notes = mend_pixel_masks(source.interface, added)
    with log_warnings(f"sources.{source.name}"):
        notes += clocks.apply(source.name, added, frames, stub or bool(source.options.get("stub_test")))
        for note in notes:
            logger.info("sources.%s: %s", source.name, note)
    return added


def _check_timing(source: BuiltSource) -> None:
    """Refuse several video files without times: nothing says what lies between them."""
    interface = source.interface
    untimed = getattr(interface, "_timestamps", True) is None and getattr(interface, "_starting_time", True) is None
    if source.spec.video in ("link", "copy") and getattr(interface, "_number_of_files", 1) > 1 and untimed:
        raise ClockError(
            "several video files of one source have no times",
            where=f"sources.{source.name}",
            expected="a clock with `align: timestamps`, one time for each frame of all files",
            hint="give a file of frame times, or make each video a source of its own",
        )


def _refuse_collision(spec: SessionSpec, source: BuiltSource, error: ValueError, owners: dict[str, str]) -> None:
    text = str(error)
    if not any(
        part in text for part in ("already exists", "already contains", "already has", "cannot add", "Cannot add")
    ):
        return
    name = next(
        (name for name in sorted(owners, key=len, reverse=True) if f"'{name}'" in text or f'"{name}"' in text), None
    )
    owner = owners.get(name or "", "another source")
    raise SpecError(
        f"two sources write one name: {name!r}" if name else "two sources write one name",
        where=f"{spec.path}: sources.{source.name}",
        expected="a name of its own for what each source writes",
        found=f"{owner} has written it, and {source.name} would write it again",
        hint="give another name in `metadata`, another `metadata_key` in args, or another `tag` in options",
    ) from error


def _check_added_data(spec: SessionSpec, source: BuiltSource, added: AddedObjects) -> None:
    """Refuse a source that left nothing, or a series without samples."""
    from pynwb.base import Image

    series = added.series()
    empty = [item.name for item in series if sample_count(item) == 0]
    rows = sum(len(table) - first for table, first in added.tables() if table.name not in ("electrodes",))
    images = [item for item in added.objects if isinstance(item, Image)]
    if (series and len(empty) == len(series)) or not (series or rows or images):
        files = ", ".join(spec.paths.display(path) for path in paths_of(spec, source.name))
        raise SourceError(
            f"the source {source.name!r} left nothing in the file",
            where=f"sources.{source.name}: {files}",
            expected="a series with samples, a table with rows, or an image",
            found=f"{', '.join(empty)} without samples" if empty else "no data",
            hint="check that the files hold data and the arguments choose some",
        )
