"""Processors of calcium imaging."""

from nwbpipe.processors.imaging._suite2p import Suite2p, Suite2pParams

__all__ = ["Suite2p", "Suite2pParams"]
