"""Processors of calcium imaging."""

from nwbpipe.processors.imaging._deconvolution import Deconvolution, DeconvolutionParams
from nwbpipe.processors.imaging._dff import Dff, DffParams
from nwbpipe.processors.imaging._quality import ImagingQuality, ImagingQualityParams
from nwbpipe.processors.imaging._segmentation_write import (
    Motion,
    Rois,
    Traces,
    write_images,
    write_motion,
    write_segmentation,
    write_traces,
)
from nwbpipe.processors.imaging.caiman import Caiman, CaimanParams
from nwbpipe.processors.imaging.extract import Extract, ExtractParams
from nwbpipe.processors.imaging.suite2p import MotionCorrection, RegistrationParams, Suite2p, Suite2pParams

__all__ = [
    "Caiman",
    "CaimanParams",
    "Deconvolution",
    "DeconvolutionParams",
    "Dff",
    "DffParams",
    "Extract",
    "ExtractParams",
    "ImagingQuality",
    "ImagingQualityParams",
    "Motion",
    "MotionCorrection",
    "RegistrationParams",
    "Rois",
    "Suite2p",
    "Suite2pParams",
    "Traces",
    "write_images",
    "write_motion",
    "write_segmentation",
    "write_traces",
]
