"""Processors of calcium imaging."""

from nwbpipe.processors.imaging._caiman import Caiman, CaimanParams
from nwbpipe.processors.imaging._suite2p import Suite2p, Suite2pParams

__all__ = ["Caiman", "CaimanParams", "Suite2p", "Suite2pParams"]
