"""The connection to S3: see `nwbpipe.stores.s3`."""

from nwbpipe.stores.s3 import THREADS, code_of, conflict, connect, explained, is_conflict, is_s3_error, scrubbed

__all__ = ["THREADS", "code_of", "conflict", "connect", "explained", "is_conflict", "is_s3_error", "scrubbed"]
