"""Guards: what real files showed that readers accept in silence, checked before an interface is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nwbpipe.converters.interfaces import _guards_files as files
from nwbpipe.converters.interfaces import _guards_folders as folders
from nwbpipe.converters.interfaces import _guards_pose as pose
from nwbpipe.errors import Problem

Guard = Callable[[Mapping[str, Any]], list[Problem]]

_GUARDS: Mapping[str, Guard] = {
    "DeepLabCutInterface": pose.guard_deeplabcut,
    "LightningPoseDataInterface": pose.guard_lightning_pose,
    "SLEAPInterface": pose.guard_sleap,
    "OpenEphysRecordingInterface": files.guard_openephys,
    "OpenEphysBinaryRecordingInterface": files.guard_openephys_binary,
    "OpenEphysBinaryAnalogInterface": files.guard_openephys_binary,
    "OpenEphysLegacyRecordingInterface": folders.guard_openephys_legacy,
    "NeuroScopeSortingInterface": folders.guard_neuroscope_sorting,
    "SpikeGLXRecordingInterface": files.guard_spikeglx,
    "SpikeGLXSyncChannelInterface": files.guard_spikeglx,
    "SpikeGLXNIDQInterface": files.guard_spikeglx,
    "TdtRecordingInterface": files.guard_tdt,
    "TDTFiberPhotometryInterface": files.guard_tdt,
    "TDTEventsInterface": files.guard_tdt,
    "TiffImagingInterface": files.guard_tiff,
    "ScanImageImagingInterface": files.guard_tiff,
    "ScanImageLegacyImagingInterface": files.guard_tiff,
    "ExternalVideoInterface": files.guard_video,
    "InternalVideoInterface": files.guard_video,
}


def guard_source(interface_name: str, arguments: Mapping[str, Any]) -> list[Problem]:
    """Check a source for what its reader would accept, or fail on, without saying so.

    Parameters
    ----------
    interface_name : str
        Class name of the interface.
    arguments : mapping
        The interface's source arguments.

    Returns
    -------
    list of Problem
        Empty when nothing was found; an interface that no guard knows has nothing to find. A path that is missing
        is not reported here.

    Raises
    ------
    ToolMissingError
        The reader that the guard needs (pandas, OpenCV, tifffile) is not installed; the interface needs it too.
    """
    guard = _GUARDS.get(interface_name)
    if guard is None:
        return []
    try:
        return guard(arguments)
    except ImportError as error:
        from nwbpipe.converters.interfaces._registry import interface_class, missing_reader_error

        raise missing_reader_error(interface_name, error, interface_class(interface_name)) from error
