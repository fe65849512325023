"""Processors of face videos."""

from nwbpipe.processors.face._facemap_svd import FACEMAP, FacemapSvd, FacemapSvdParams

__all__ = ["FACEMAP", "FacemapSvd", "FacemapSvdParams"]
