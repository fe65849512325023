"""Samples whose times come from a file need no frame rate; their frame numbers say which time is whose.

NeuroConv's pose interfaces refuse to write without a frame rate, or write none, and its video interface refuses
several files without a start, though the session's clock replaces all times. The frame that a sample belongs to is
in their private methods alone.

Upstream: https://github.com/catalystneuro/neuroconv/pull/1937 (2026-08) made the rate necessary for DeepLabCut, on
purpose. No method for frame numbers: not reported as of 2026-11; seen in NeuroConv 0.10.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nwbpipe.converters._added import Times
from nwbpipe.errors import ClockError


def allow_missing_rate(interface: Any) -> None:
    """Let an interface that insists on a frame rate do without.

    With a rate of 1 Hz its times are its frame numbers, until they are replaced.
    """
    if hasattr(interface, "_num_frames") and getattr(interface, "_sampling_frequency", 0) is None:
        interface.set_aligned_timestamps(np.arange(interface._num_frames, dtype=np.float64))
    if getattr(interface, "sampling_frequency", 0) is None:
        interface.sampling_frequency = 1.0
    if hasattr(interface, "video_sample_rate") and not interface.video_sample_rate and not interface.video_file_path:
        interface.video_sample_rate = 1.0
    if getattr(interface, "_number_of_files", 1) > 1 and getattr(interface, "_starting_time", 0.0) is None:
        interface._starting_time = 0.0
    extractor = getattr(interface, "segmentation_extractor", None)
    if extractor is not None and extractor.get_sampling_frequency() is None and not extractor.has_time_vector():
        extractor.set_times(np.arange(extractor.get_num_samples(), dtype=np.float64))


def refuse_missing_rate(interface: Any, where: str) -> None:
    """Refuse a pose without a rate, a video or a clock: its frame numbers would be written as seconds.

    Raises
    ------
    ClockError
    """
    if getattr(interface, "video_sample_rate", 0) is None and interface.video_file_path is None:
        raise ClockError(
            "the frames have no times",
            where=where,
            expected="one time a frame, or a frame rate",
            found="a file that holds neither",
            hint="give args: {frames_per_second: …} or video_file_path, or align its clock with timestamps (one per "
            "frame)",
        )


def read_frame_numbers(interface: Any) -> Times | None:
    """Return the frame of the video that each sample of a pose belongs to, where its file gives it."""
    numbers = None
    if hasattr(interface, "_get_frame_indices") and getattr(interface, "_legacy_interface", None) is None:
        numbers = interface._get_frame_indices()
    elif hasattr(interface, "_read_animal_dataframe"):
        index = np.asarray(interface._read_animal_dataframe().index)
        if index.dtype.kind in "iu" and not np.array_equal(index, np.arange(len(index))):
            numbers = index
    return None if numbers is None else np.asarray(numbers, dtype=np.float64)
