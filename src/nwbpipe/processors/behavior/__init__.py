"""Processors of behaviour: windows, trials, the wheel, kinematics, streams on one grid, components of sessions."""

from nwbpipe.processors.behavior._event_windows import EventWindows, EventWindowsParams
from nwbpipe.processors.behavior._kinematics import Kinematics, KinematicsParams
from nwbpipe.processors.behavior._shared_pca import PcaScores, SharedPca, SharedPcaParams
from nwbpipe.processors.behavior._synchronize import Synchronize, SynchronizeParams
from nwbpipe.processors.behavior._synchronize_sample import mean_of_bins
from nwbpipe.processors.behavior._trialize import Trialize, TrializeParams
from nwbpipe.processors.behavior._trialize_compute import NO_TIME, OUTSIDE, find_window, sample_series
from nwbpipe.processors.behavior._wheel import Wheel, WheelParams

__all__ = [
    "NO_TIME",
    "OUTSIDE",
    "EventWindows",
    "EventWindowsParams",
    "Kinematics",
    "KinematicsParams",
    "PcaScores",
    "SharedPca",
    "SharedPcaParams",
    "Synchronize",
    "SynchronizeParams",
    "Trialize",
    "TrializeParams",
    "Wheel",
    "WheelParams",
    "find_window",
    "mean_of_bins",
    "sample_series",
]
