"""suite2p: registration, cell detection, traces and deconvolution; its registration by itself."""

from nwbpipe.processors.imaging.suite2p._motion import MotionCorrection
from nwbpipe.processors.imaging.suite2p._params import RegistrationParams, Suite2pParams
from nwbpipe.processors.imaging.suite2p._processor import Suite2p

__all__ = ["MotionCorrection", "RegistrationParams", "Suite2p", "Suite2pParams"]
