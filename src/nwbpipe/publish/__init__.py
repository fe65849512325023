"""DANDI: check what it would refuse, upload by digest with a receipt, and download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.publish._download import DownloadedFile, DownloadReport, download
    from nwbpipe.publish._plan import PlannedAsset, UploadPlan
    from nwbpipe.publish._readiness import ReadinessReport, check_readiness
    from nwbpipe.publish._receipts import AssetReceipt, SessionUpload, UploadReceipt, list_uploads, read_receipts
    from nwbpipe.publish._upload import UploadReport, upload

_HOME = {
    "AssetReceipt": "_receipts",
    "DownloadReport": "_download",
    "DownloadedFile": "_download",
    "PlannedAsset": "_plan",
    "ReadinessReport": "_readiness",
    "SessionUpload": "_receipts",
    "UploadPlan": "_plan",
    "UploadReceipt": "_receipts",
    "UploadReport": "_upload",
    "check_readiness": "_readiness",
    "download": "_download",
    "list_uploads": "_receipts",
    "read_receipts": "_receipts",
    "upload": "_upload",
}

__all__ = [
    "AssetReceipt",
    "DownloadReport",
    "DownloadedFile",
    "PlannedAsset",
    "ReadinessReport",
    "SessionUpload",
    "UploadPlan",
    "UploadReceipt",
    "UploadReport",
    "check_readiness",
    "download",
    "list_uploads",
    "read_receipts",
    "upload",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
