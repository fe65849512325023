"""ScanImage before 2016: settings as text in the description of the first page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import SourceError

_SETTING = re.compile(r"^(?:state|scanimage)\.(\S+?)\s*=\s*(.*?)\s*$", re.MULTILINE)
_SAVED = ("SI4.channelsSave", "SI5.channelsSave", "SI.hChannels.channelSave")
_SLICES = ("acq.numberOfZSlices", "SI4.stackNumSlices", "SI5.stackNumSlices", "SI.hStackManager.numSlices")
_RATES = ("acq.frameRate", "SI4.scanFrameRate", "SI5.scanFrameRate", "SI.hRoiManager.scanFrameRate")


@account("ScanImageLegacyImagingInterface")
def probe_scanimage_legacy(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a movie of ScanImage 3 to 5, whose reader takes every page for a frame of one channel and plane."""
    from tifffile import TiffFile

    path = Path(arguments["file_path"])
    with TiffFile(path) as tiff:
        pages, shape, text = len(tiff.pages), tiff.pages[0].shape, tiff.pages[0].description
    settings = dict(_SETTING.findall(text.replace("\r", "\n")))
    if not settings:
        return None
    channels = sum(settings.get(f"acq.savingChannel{number}") == "1" for number in range(1, 5)) or max(
        [len(re.findall(r"\d+", settings[name])) for name in _SAVED if name in settings], default=1
    )
    slices = int(float(next((settings[name] for name in _SLICES if name in settings), 1)))
    if channels > 1 or slices > 1:
        raise SourceError(
            "the reader of ScanImage before 2016 takes channels and planes for frames",
            where=str(path),
            expected="one channel and one plane",
            found=f"{channels} channels, {slices} planes in {pages} pages",
            hint=f"read it with TiffImagingInterface: num_channels: {channels}, num_planes: {slices}, "
            "dimension_order: CZT, and channel_name: 0 for the first channel",
        )
    rate = next((float(settings[name]) for name in _RATES if name in settings), None)
    stream = Stream(samples=pages, planes=1, frame_shape=(int(shape[-2]), int(shape[-1])), rate=rate)
    return Account("ScanImage before 2016", (path,), (stream,))
