"""CaImAn: motion correction and constrained matrix factorisation (CNMF, CNMF-E)."""

from nwbpipe.processors.imaging.caiman._params import CaimanParams
from nwbpipe.processors.imaging.caiman._processor import Caiman

__all__ = ["Caiman", "CaimanParams"]
