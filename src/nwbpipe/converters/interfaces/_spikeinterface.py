"""Finished sortings that SpikeInterface saved, as a source; they are read as data, and every spike is a unit's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from neuroconv.datainterfaces.ecephys.basesortingextractorinterface import BaseSortingExtractorInterface
from pydantic import DirectoryPath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.errors import Problem, SourceError
from nwbpipe.nwb_builders import list_spikeinterface_files, read_spikeinterface

_NAME = re.compile(r"[A-Za-z]\w*")
#: Columns that NeuroConv or NWB fill themselves.
_RESERVED = frozenset({"id", "unit_name", "spike_times", "obs_intervals", "electrodes", "electrode_group"})


def guard_spikeinterface(arguments: Mapping[str, Any]) -> list[Problem]:
    """Check that the folder is whole, and that each of its spikes belongs to a unit."""
    folder = Path(str(arguments.get("folder_path", "")))
    if not folder.is_dir():
        return []
    try:
        list_spikeinterface_files(folder)
        read_spikeinterface(folder)
    except SourceError as error:
        return [error.problem]
    return []


@interface(extra="ephys", guard=guard_spikeinterface)
class SpikeInterfaceSortingInterface(BaseSortingExtractorInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Units of a sorting or an analyzer that SpikeInterface saved: a folder, or zarr.

    Properties of the units, and the metrics that an analyzer measured, become columns. Spike times are samples over
    the sampling rate: the source's clock is that of the recording that was sorted. To have electrodes, waveforms
    and a record as well, load it as a result: ``nwbpipe load FILE.nwb spikesorting FOLDER``.

    Parameters
    ----------
    folder_path : DirectoryPath
        Folder of ``sorting.save(folder=…)`` or ``analyzer.save_as(folder=…)``, of any format.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The folder is neither, is damaged, or has a spike that belongs to no unit.
    """

    display_name = "SpikeInterface sorting"
    info = "Interface for sortings and analyzers that SpikeInterface saved."
    associated_suffixes = (".json", ".npy", ".zarr")

    def __init__(self, folder_path: DirectoryPath, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose, folder_path=folder_path)

    @classmethod
    def get_extractor_class(cls) -> Any:
        """Return the function that reads the folder."""
        return read_sorting


def read_sorting(folder_path: Path) -> Any:
    """Return a folder's sorting as SpikeInterface's `NumpySorting`."""
    from spikeinterface.core import NumpySorting

    saved = read_spikeinterface(Path(folder_path))
    sorting = NumpySorting.from_samples_and_labels(
        [saved.samples], [np.asarray(saved.unit_ids)[saved.units]], saved.rate, unit_ids=list(saved.unit_ids)
    )
    for name, values in {**saved.metrics, **saved.properties}.items():
        if _NAME.fullmatch(name) and name not in _RESERVED:
            sorting.set_property(name, values)
    return sorting
