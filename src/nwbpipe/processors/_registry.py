"""Processors by name: ours, and those of other packages (entry points of the group ``nwbpipe.processors``)."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nwbpipe.environments import NWBWIDGETS, Tool
from nwbpipe.errors import UnknownNameError, suggest_names
from nwbpipe.processors._base import Processor

GROUP = "nwbpipe.processors"

#: Our processors: module of `nwbpipe.processors`, and class.
OURS = {
    "band_power": "ephys:BandPower",
    "caiman": "imaging:Caiman",
    "deconvolution": "imaging:Deconvolution",
    "deeplabcut": "pose:DeepLabCut",
    "deeplabcut_model": "pose:DeepLabCutModel",
    "deeplabcut_train": "pose:DeepLabCutTrain",
    "demodulate": "photometry:Demodulate",
    "dff": "imaging:Dff",
    "event_aligned": "photometry:EventAligned",
    "event_windows": "behavior:EventWindows",
    "extract": "imaging:Extract",
    "facemap_keypoints": "pose:FacemapKeypoints",
    "facemap_model": "pose:FacemapModel",
    "facemap_svd": "face:FacemapSvd",
    "facemap_train": "pose:FacemapTrain",
    "imaging_quality": "imaging:ImagingQuality",
    "kinematics": "behavior:Kinematics",
    "labeled_video": "pose:LabeledVideo",
    "lfp": "ephys:Lfp",
    "motion": "ephys:Motion",
    "motion_correction": "imaging:MotionCorrection",
    "pca_scores": "behavior:PcaScores",
    "photometry_dff": "photometry:PhotometryDff",
    "pose_filter": "pose:PoseFilter",
    "recording_quality": "ephys:RecordingQuality",
    "ripples": "ephys:Ripples",
    "session_units": "ephys:SessionUnits",
    "shared_pca": "behavior:SharedPca",
    "spikesorting": "ephys:SpikeSorting",
    "suite2p": "imaging:Suite2p",
    "synchronize": "behavior:Synchronize",
    "transients": "photometry:Transients",
    "trialize": "behavior:Trialize",
    "unit_psth": "ephys:UnitPsth",
    "unit_quality": "ephys:UnitQuality",
    "unitrefine": "ephys:UnitRefine",
    "unitrefine_model": "ephys:UnitRefineModel",
    "wheel": "behavior:Wheel",
}


def _find_entry_points() -> dict[str, EntryPoint]:
    """Return the entry points of other packages; a name of ours can't be taken."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in OURS}


def processor_names() -> list[str]:
    """Names of our processors and of those that are installed, sorted."""
    return sorted({*OURS, *_find_entry_points()})


def list_tools() -> dict[str, Tool]:
    """Return the tools of all processors, and the viewers, by name, sorted."""
    methods = [processor(name) for name in processor_names()]
    tools = {tool.name: tool for method in methods for tool in (*method.further_tools, method.tool)}
    tools[NWBWIDGETS.name] = NWBWIDGETS
    return dict(sorted(tools.items()))


def processor(name: str) -> Processor:
    """Return the processor of that name.

    Raises
    ------
    UnknownNameError
        If there is none, or its entry point names something else.
    """
    if name in OURS:
        module, _, kind = OURS[name].partition(":")
        instance: Processor = getattr(import_module(f"{GROUP}.{module}"), kind)()
        return instance
    point = _find_entry_points().get(name)
    if point is None:
        names = processor_names()
        raise UnknownNameError(
            f"there is no processor {name!r}",
            expected=", ".join(names),
            found=name,
            hint=suggest_names(name, names) or "`nwbpipe processors` lists them",
        )
    loaded: Any = point.load()()
    if not isinstance(loaded, Processor):
        msg = f"the entry point {name!r} of {point.value} is not an nwbpipe.Processor"
        raise UnknownNameError(msg, expected="a subclass of nwbpipe.Processor", found=type(loaded).__name__)
    return loaded
