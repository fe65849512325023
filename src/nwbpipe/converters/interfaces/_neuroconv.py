"""Find NeuroConv's interfaces; declare their extras and guards, which NeuroConv does not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from nwbpipe.converters._interface_names import neuroconv_modules
from nwbpipe.converters.interfaces._declaration import Declaration
from nwbpipe.converters.interfaces._guards_files import (
    guard_openephys,
    guard_openephys_binary,
    guard_rated_tiff,
    guard_spikeglx,
    guard_tdt,
    guard_tiff,
    guard_video,
)
from nwbpipe.converters.interfaces._guards_folders import (
    guard_neuroscope_sorting,
    guard_openephys_legacy,
    guard_suite2p,
)
from nwbpipe.converters.interfaces._guards_hdf5 import guard_maxwell
from nwbpipe.converters.interfaces._guards_pose import guard_lightning_pose, guard_sleap
from nwbpipe.converters.interfaces._guards_sorting import guard_phy
from nwbpipe.converters.interfaces._guards_tables import guard_csv_events, guard_neurophotometrics

# By the class's name, else by a part of its module's path. The first entry that fits counts.
_DECLARATIONS: Mapping[str, Declaration] = {
    "LightningPoseDataInterface": Declaration("behavior", guard_lightning_pose),
    "SLEAPInterface": Declaration("behavior", guard_sleap),
    "ExternalVideoInterface": Declaration("behavior", guard_video),
    "InternalVideoInterface": Declaration("behavior", guard_video),
    "OpenEphysRecordingInterface": Declaration("ephys", guard_openephys),
    "OpenEphysBinaryRecordingInterface": Declaration("ephys", guard_openephys_binary),
    "OpenEphysBinaryAnalogInterface": Declaration("ephys", guard_openephys_binary),
    "OpenEphysLegacyRecordingInterface": Declaration("ephys", guard_openephys_legacy),
    "NeuroScopeSortingInterface": Declaration("ephys", guard_neuroscope_sorting),
    "PhySortingInterface": Declaration("ephys", guard_phy),
    "KiloSortSortingInterface": Declaration("ephys", guard_phy),
    "SpikeGLXRecordingInterface": Declaration("ephys", guard_spikeglx),
    "SpikeGLXSyncChannelInterface": Declaration("ephys", guard_spikeglx),
    "SpikeGLXNIDQInterface": Declaration("ephys", guard_spikeglx),
    "MaxOneRecordingInterface": Declaration("ephys", guard_maxwell),
    "TDTFiberPhotometryInterface": Declaration("photometry", guard_tdt),
    "NPMFiberPhotometryInterface": Declaration("photometry", guard_neurophotometrics),
    "CSVEventsInterface": Declaration("behavior", guard_csv_events),
    "Suite2pSegmentationInterface": Declaration("imaging", guard_suite2p),
    "TiffImagingInterface": Declaration("imaging", guard_rated_tiff),
    "ScanImageLegacyImagingInterface": Declaration("imaging", guard_tiff),
    "events.tdt": Declaration("photometry"),
    "events.doric": Declaration("photometry"),
    "events.npm": Declaration("photometry"),
    "events.pyphotometry": Declaration("photometry"),
    "fiber_photometry": Declaration("photometry"),
    "icephys": Declaration("ephys"),
    "ecephys": Declaration("ephys"),
    "ophys": Declaration("imaging"),
    "behavior": Declaration("behavior"),
    "events": Declaration("behavior"),
    "text": Declaration("behavior"),
    "image": Declaration("imaging"),
}


def neuroconv_interfaces() -> dict[str, type[Any]]:
    """Return NeuroConv's interfaces by class name; the first call imports them all, which takes seconds."""
    from neuroconv.datainterfaces import interface_list

    return {interface.__name__: interface for interface in interface_list}


def neuroconv_interface(name: str) -> type[Any] | None:
    """Return NeuroConv's interface of a class name, and import no other; None if it has none of that name."""
    home = neuroconv_modules().get(name)  # and not the package, whose list another thread may be about to import
    return None if home is None else getattr(import_module(home), name)


def neuroconv_declaration(cls: type) -> Declaration | None:
    """Return the declaration of a class of NeuroConv; None for any other class, and for its base classes."""
    path = f".{cls.__module__}.{cls.__name__}."
    if not path.startswith(".neuroconv."):
        return None
    return next((declaration for part, declaration in _DECLARATIONS.items() if f".{part}." in path), None)
