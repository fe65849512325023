"""An object of S3, read by ranges: see `nwbpipe.stores.s3`."""

from nwbpipe.stores.s3 import Reader, RemoteObject

__all__ = ["Reader", "RemoteObject"]
