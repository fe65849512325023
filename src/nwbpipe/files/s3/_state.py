"""States of an object: which one it is in, and whether one came from another by nwbpipe's commits alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.errors import ConflictError
from nwbpipe.files.s3._orphans import WRITES
from nwbpipe.stores import RangedFile
from nwbpipe.stores.s3 import Address, RemoteObject, connect, explain_error, is_s3_error, parse_address

_REMEMBERED = 7  # of the writes before one, that surely are in its metadata too


@dataclass(frozen=True)
class RemoteState:
    """One state of an object.

    Attributes
    ----------
    etag : str
        By which S3 tells it from others.
    size : int
        In bytes.
    writes : tuple of str
        The last writes of nwbpipe that it holds, the latest last.
    """

    etag: str
    size: int
    writes: tuple[str, ...]

    def is_next_of(self, before: RemoteState) -> bool:
        """Return True if exactly one commit of nwbpipe lies between `before` and this state."""
        return bool(self.writes) and self.writes[:-1][-_REMEMBERED:] == before.writes[-_REMEMBERED:]


def s3_state(url: Path | str) -> RemoteState:
    """Return the present state of an object.

    Raises
    ------
    FileAccessError
        If it is missing, or S3 can't be asked.
    """
    address = parse_address(url)
    with closing(connect()) as client:
        return state_of(client, address)


def state_of(client: Any, address: Address) -> RemoteState:
    """Do what `s3_state` does, with a client that is there."""
    try:
        head = client.head_object(Bucket=address.bucket, Key=address.key)
    except Exception as error:
        if not is_s3_error(error):
            raise
        raise explain_error(error, address, "looking at the object", client) from None
    return RemoteState(head["ETag"], head["ContentLength"], _parse_writes(head.get("Metadata", {})))


def read_state(version: RangedFile) -> RemoteState:
    """Return the state that a file was opened in; no request is sent."""
    return RemoteState(version.tag, version.size, _parse_writes(version.metadata))


def _parse_writes(metadata: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(metadata.get(WRITES, "").split())


class FollowingObject(RemoteObject):
    """An object that is read while nwbpipe commits to it.

    A commit neither moves nor overwrites the bytes of what it does not edit (``docs/design/005-transactions.md``): a
    reader of such data may go on with the next state, and finds the same. What else may have changed an object is
    refused: a state that does not hold the write that this reader's state ended with (an upload as a whole, `repack`,
    another program's).

    Raises
    ------
    FileAccessError, ConflictError
        See `RemoteObject`.
    """

    def __init__(self, client: Any, address: Address) -> None:
        super().__init__(client, address)
        self._following = threading.Lock()
        self._writes = read_state(self).writes

    def fetch(self, start: int, stop: int) -> bytes:
        """See `RemoteObject.fetch`."""
        while True:
            tag = self.tag
            try:
                return super().fetch(start, stop)
            except ConflictError:
                with self._following:
                    if self.tag == tag:
                        self._follow()
                    self.failure = None

    def _follow(self) -> None:
        state = state_of(self.client, self.address)
        if state.etag == self.tag or not self._writes or self._writes[-1] not in state.writes:
            assert self.failure is not None
            raise self.failure
        self.tag, self._writes = state.etag, state.writes
