"""Processors of fiber photometry."""

from nwbpipe.processors.photometry._demodulate import Demodulate, DemodulateParams
from nwbpipe.processors.photometry._dff import PhotometryDff, PhotometryDffParams
from nwbpipe.processors.photometry._event_aligned import EventAligned, EventAlignedParams
from nwbpipe.processors.photometry._transients import Transients, TransientsParams

__all__ = [
    "Demodulate",
    "DemodulateParams",
    "EventAligned",
    "EventAlignedParams",
    "PhotometryDff",
    "PhotometryDffParams",
    "Transients",
    "TransientsParams",
]
