"""Frames of Inscopix that were dropped are left out; the reader makes black ones of them.

roiextractors asks the library of Inscopix for every frame, and that gives zeros for one which was dropped, cropped
or blanked. The account gives each frame that was stored its time.

Upstream: not reported as of 2026-11; seen in roiextractors 0.10.0 with isx 2.1.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nwbpipe.converters.accounts._inscopix import list_stored


def leave_out_dropped_frames(interface: Any) -> None:
    """Let a movie of Inscopix have the frames that were stored, and no others."""
    extractor: Any = getattr(interface, "imaging_extractor", None)
    if type(extractor).__name__ != "InscopixImagingExtractor":
        return
    movie = extractor.movie
    timing = movie.timing
    frames = list_stored(timing.num_samples, [*timing.dropped, *timing.blank], timing.cropped)
    if len(frames) == timing.num_samples:
        return
    extractor.get_num_samples = lambda: len(frames)
    extractor.get_series = lambda start_sample=None, end_sample=None: np.array(
        [movie.get_frame_data(int(number)) for number in frames[start_sample:end_sample]]
    )
