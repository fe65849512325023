"""Find the streams of a folder: one finder a family of formats, the most certain first."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nwbpipe.converters import screen_raw_files
from nwbpipe.errors import NwbpipeError
from nwbpipe.foreign import ReadScope, forbid_code
from nwbpipe.proposals import _behavior, _ephys, _imaging, _photometry, _rigs
from nwbpipe.proposals._candidate import Candidate, Mark, Noted
from nwbpipe.proposals._clocks import add_times
from nwbpipe.proposals._describe import add_account
from nwbpipe.proposals._tables import TEXTS, read_table
from nwbpipe.proposals._tree import RawTree

# From the most certain to the least: what one has claimed, the next does not see.
_FINDERS = (
    _ephys.find_spikeglx,
    _ephys.find_openephys,
    _ephys.find_openephys_legacy,
    _ephys.find_intan,
    _ephys.find_blackrock,
    _ephys.find_neuralynx,
    _ephys.find_tdt,
    _ephys.find_single_files,
    _imaging.find_vendor_folders,
    _imaging.find_cells,
    _behavior.find_sortings,
    _ephys.find_neuroscope,
    _imaging.find_tiffs,
    _imaging.find_scanner_files,
    _behavior.find_poses,
    _behavior.find_videos,
    _imaging.find_hdf5,
    _photometry.find_pyphotometry,
    _photometry.find_doric,
    _photometry.find_matlab,
    _rigs.find_bpod,
    _rigs.find_ibl,
    _rigs.find_medpc,
    _rigs.find_pycontrol,
)
_RATELESS = ("DeepLabCutInterface", "MinianSegmentationInterface")
_TABLE_FINDERS = (_photometry.find_photometry_tables, _rigs.find_logs, _behavior.find_tables)


def find_candidates(tree: RawTree) -> list[Candidate]:
    """Return the streams of a folder, in the order in which their formats are looked for."""
    _screen(tree)
    candidates: list[Candidate] = []
    with silence("tifffile"):
        for finder in _FINDERS:
            candidates += _run_finder(finder, tree)
    _rigs.share_zero(candidates)
    tables = [table for path in tree.free(*TEXTS) if (table := read_table(path)) is not None]
    add_times(candidates, tables)
    _add_rates(candidates)
    for candidate in candidates:
        if candidate.times is not None:
            tree.claim([candidate.times.path], candidate.name)
            candidate.notes.append(f"the times of its samples: {candidate.times.path.name}")
    for finder in _TABLE_FINDERS:
        candidates += _run_finder(finder, tree)
    _behavior.note_others(tree)
    return candidates


@contextmanager
def silence(name: str) -> Iterator[None]:
    """Keep a logger's messages off stderr while the block lasts: damaged files are listed instead."""
    logger = logging.getLogger(name)
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def _add_rates(candidates: list[Candidate]) -> None:
    """Give a pose or cells without a time for each frame the rate of their video; without one, a person says it."""
    for candidate in candidates:
        if candidate.interface not in _RATELESS or candidate.times is not None:
            continue
        videos = [item for item in candidates if item.role == "video" and item.device == candidate.device]
        rate = videos[0].rate if videos else None
        value: Any = Noted(rate, f"Hz, by {videos[0].files[0].name}") if rate else Mark("frames in a second (Hz)")
        candidate.args.setdefault("sampling_frequency", value)


def _run_finder(finder: Any, tree: RawTree) -> list[Candidate]:
    candidates: list[Candidate] = []
    stream = iter(finder(tree))
    with tree.note_errors(tree.root):
        while (candidate := _step(stream, tree)) is not None:
            parts = add_account(candidate, tree.root)
            for part in parts:
                tree.claim(part.files, part.name)
            candidates += parts
    return candidates


def _step(stream: Iterator[Candidate], tree: RawTree) -> Candidate | None:
    """Return the next stream; what a file holds is not run while a finder looks at it."""
    with forbid_code(str(tree.root), scope=ReadScope([tree.root], [tree.root])):
        return next(stream, None)


def _screen(tree: RawTree) -> None:
    """Leave out files that lead elsewhere, or are no recordings: playlists, pointers of Git LFS, unsafe HDF5."""
    files = []
    for path in tree.files:
        try:
            screen_raw_files([path], [tree.root])
        except NwbpipeError as error:
            tree.unreadable[path] = error.problem.what
        except OSError as error:
            tree.unreadable[path] = error.strerror or "can't be read"
        else:
            files.append(path)
    tree.files[:] = files
