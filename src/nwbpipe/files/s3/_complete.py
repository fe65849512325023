"""The last step of an upload in parts: see ``docs/design/007-s3.md``, step 5."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.files.s3._lock import CompletionLock
from nwbpipe.files.s3._orphans import has_write
from nwbpipe.stores.s3 import (
    Address,
    checks_in_one_step,
    code_of,
    conflict_error,
    explain_error,
    is_conflict,
    is_missing,
    is_s3_error,
)

_TRIES = 3
_PAUSE = 1.0  # seconds, doubled from try to try


class Completion:
    """Puts what was uploaded in an object's place, under a condition, and finds out what became of it.

    Parameters
    ----------
    client : boto3 client
    address : Address
        The object.
    write : str
        Id that the object's metadata will hold.
    condition : mapping of str to str
        ``IfMatch`` or ``IfNoneMatch``; empty where the server does not check.
    stands : callable
        Whether the condition still holds.
    """

    def __init__(
        self,
        client: Any,
        address: Address,
        write: str,
        condition: Mapping[str, str],
        stands: Callable[[], bool],
    ) -> None:
        self.client, self.address, self.write = client, address, write
        self._condition, self._stands = condition, stands

    def run(self, upload: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> str:
        """Complete an upload; return the object's ETag. An upload that can't be completed is removed.

        Raises
        ------
        ConflictError
            If the condition does not hold. Nothing was written.
        FileAccessError
            If it could not be completed; the message says so if it is not known whether it was.
        """
        with ExitStack() as stack:
            lock = None
            try:
                if self._condition and not checks_in_one_step(self.client):
                    lock = stack.enter_context(CompletionLock(self.client, self.address, self._stands))
            except BaseException:
                self.abort(upload)
                raise
            return self._run(upload, parts, lock)

    def _run(self, upload: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], lock: CompletionLock | None) -> str:
        error: BaseException | None = None
        for attempt in range(_TRIES):
            try:
                answer = self.client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": parts}, **self._condition
                )
                return str(answer["ETag"])
            except BaseException as raised:
                error = raised
                if not is_s3_error(raised) or not is_transient(raised):
                    break
            time.sleep(_PAUSE * 2**attempt if attempt < _TRIES - 1 else 0)
        assert error is not None
        # The upload may have been completed, be it that the answer was lost, or that a second try (boto3's or ours)
        # found it done. Once it is aborted, nothing more can happen to the object: then its mark tells.
        ended = self.abort(upload)
        try:
            etag = self.find_stored_etag()
        except Exception:
            unknown = True
        else:
            if etag is not None:
                if isinstance(error, Exception):
                    return etag
                raise error  # a KeyboardInterrupt
            unknown = not ended and not is_conflict(error)
        if unknown:
            if lock is not None:
                lock.keep = True
            raise unknown_outcome_error(error, self.address, self.client) from None
        if not is_s3_error(error):
            raise error
        if code_of(error) in ("NoSuchUpload", "NoSuchKey") or is_conflict(error):
            raise self._lost_upload_error(error) from None
        raise explain_error(error, self.address, "committing", self.client) from None

    def find_stored_etag(self) -> str | None:
        """Return the object's ETag if it holds this write; None if it does not.

        Raises
        ------
        Exception
            boto3's, if nobody can tell.
        """
        for attempt in range(_TRIES):
            try:
                head = self.client.head_object(Bucket=self.address.bucket, Key=self.address.key)
                return str(head["ETag"]) if has_write(head.get("Metadata", {}), self.write) else None
            except Exception as error:
                if is_missing(error):
                    return None
                if attempt == _TRIES - 1:
                    raise
            time.sleep(_PAUSE * 2**attempt)
        raise AssertionError

    def abort(self, upload: Mapping[str, Any]) -> bool:
        """Remove an upload and its parts; return whether it is known to be gone."""
        for attempt in range(_TRIES):
            try:
                self.client.abort_multipart_upload(**upload)
                return True
            except Exception as error:
                if code_of(error) == "NoSuchUpload":
                    return True
                if not is_transient(error):
                    return False
            time.sleep(_PAUSE * 2**attempt if attempt < _TRIES - 1 else 0)
        return False

    def _lost_upload_error(self, error: BaseException) -> NwbpipeError:
        """Tell another writer's commit from an upload that somebody removed."""
        with suppress(Exception):
            if code_of(error) == "NoSuchUpload" and self._stands():
                msg = "the upload was removed while it was under way"
                return FileAccessError(msg, where=str(self.address), hint="the object is as it was: try again")
        return conflict_error(self.address)


def unknown_outcome_error(error: BaseException, address: Address, client: Any) -> FileAccessError:
    """Make the error for a write of which nobody can tell whether it was carried out."""
    explanation = explain_error(error, address, "committing", client) if is_s3_error(error) else error
    msg = "S3 was lost at the moment of the commit: it may or may not stand"
    hint = "the object is whole, old or new: look at it (nwbpipe log) when S3 can be reached again"
    return FileAccessError(msg, where=str(address), found=str(explanation).splitlines()[0], hint=hint)


def is_transient(error: BaseException) -> bool:
    """Return True if a retry may succeed after this S3 error."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True  # the network
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (
        status >= 500
        or status == 429
        or code_of(error) in ("ConditionalRequestConflict", "InternalError", "SlowDown")
    )
