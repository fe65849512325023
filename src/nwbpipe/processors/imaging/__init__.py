"""Processors of calcium imaging."""

from nwbpipe.processors.imaging._caiman import Caiman
from nwbpipe.processors.imaging._caiman_params import CaimanParams
from nwbpipe.processors.imaging._deconvolution import Deconvolution, DeconvolutionParams
from nwbpipe.processors.imaging._dff import Dff, DffParams
from nwbpipe.processors.imaging._extract import Extract
from nwbpipe.processors.imaging._extract_params import ExtractParams
from nwbpipe.processors.imaging._motion import MotionCorrection
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
from nwbpipe.processors.imaging._suite2p import Suite2p
from nwbpipe.processors.imaging._suite2p_params import RegistrationParams, Suite2pParams

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
