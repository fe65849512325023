"""Reading an object by ranges. What is read is one state of it, known by its ETag."""

from __future__ import annotations

import re
from typing import Any

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._ranged import BLOCK, RangedFile
from nwbpipe.stores.s3._address import Address
from nwbpipe.stores.s3._client import code_of, explain_error, is_s3_error


class RemoteObject(RangedFile):
    """One state of an object of S3, read by ranges; the first request tells its size and ETag, too.

    Parameters
    ----------
    client : boto3 client
    address : Address
        The object.

    Raises
    ------
    FileAccessError
        If it can't be read.
    """

    def __init__(self, client: Any, address: Address) -> None:
        self.client, self.address = client, address
        try:
            answer = client.get_object(Bucket=address.bucket, Key=address.key, Range=f"bytes=0-{BLOCK - 1}")
            start = answer["Body"].read()
        except Exception as error:
            if code_of(error) == "InvalidRange":  # an empty object
                self._set_state(0, "")
                return
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, "opening the object", client) from None
        total = re.search(r"/(\d+)$", answer.get("ContentRange", ""))
        size = int(total[1]) if total else len(start)
        self._set_state(size, answer["ETag"], start[:BLOCK], answer.get("Metadata", {}))

    @property
    def location(self) -> str:
        """See `RangedFile.location`."""
        return str(self.address)

    def _request(self, start: int, stop: int) -> bytes:
        return read_object_range(self.client, self.address, start, stop, self.tag)


def read_object_range(client: Any, address: Address, start: int, stop: int, etag: str | None) -> bytes:
    """Return the bytes of an object from `start` to `stop`, if it still has that ETag.

    Raises
    ------
    ConflictError
        If it has another.
    FileAccessError
        If it can't be read.
    """
    condition = {} if etag is None else {"IfMatch": etag}
    try:
        answer = client.get_object(
            Bucket=address.bucket, Key=address.key, Range=f"bytes={start}-{stop - 1}", **condition
        )
        data: bytes = answer["Body"].read()
    except Exception as error:
        if code_of(error) == "InvalidRange":  # past the end
            return b""
        if not is_s3_error(error) and not isinstance(error, OSError):
            raise
        raise explain_error(error, address, "reading", client) from None
    if etag is not None and answer["ETag"] != etag:  # a server that ignores the condition
        msg = "S3 returned bytes of another state of the object"
        raise FileAccessError(msg, where=str(address), expected=etag, found=answer["ETag"])
    return data
