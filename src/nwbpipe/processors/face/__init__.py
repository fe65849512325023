"""Processors of face videos."""

from nwbpipe.processors.face._facemap_svd import FacemapSvd, FacemapSvdParams

__all__ = ["FacemapSvd", "FacemapSvdParams"]
