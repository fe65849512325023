"""Processors of behaviour: windows around events, series by trials, and the wheel."""

from nwbpipe.processors.behavior._event_windows import EventWindows, EventWindowsParams
from nwbpipe.processors.behavior._trialize import Trialize, TrializeParams
from nwbpipe.processors.behavior._wheel import Wheel, WheelParams

__all__ = ["EventWindows", "EventWindowsParams", "Trialize", "TrializeParams", "Wheel", "WheelParams"]
