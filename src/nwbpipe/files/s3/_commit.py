"""How a changed view becomes the object: see ``docs/design/007-s3.md``."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlencode

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.files._view import View
from nwbpipe.files.s3._conditions import completes_in_one_step
from nwbpipe.files.s3._lock import CompletionLock
from nwbpipe.files.s3._marks import holds, mark, md5, new_write, with_write
from nwbpipe.files.s3._plan import Part, plan
from nwbpipe.stores.s3 import THREADS, RemoteObject, code_of, conflict, explained, is_conflict, is_s3_error

_WAITING = 96 * 2**20  # bytes of parts in memory, or one part
_TRIES = 3
_PAUSE = 1.0  # seconds, doubled from try to try

# What an object has beside its bytes, as `head_object` tells it and `create_multipart_upload` takes it.
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "ServerSideEncryption",
    "SSEKMSKeyId",
    "BucketKeyEnabled",
    "StorageClass",
    "WebsiteRedirectLocation",
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "ObjectLockLegalHoldStatus",
)


class Commit:
    """A commit to one object.

    Parameters
    ----------
    old : RemoteObject
        The state that the view was opened on.
    view : View
        What the object is to become.
    conditional : bool
        Whether the server checks that the old state still stands. If not, it is looked at, just before.
    """

    def __init__(self, old: RemoteObject, view: View, *, conditional: bool = True) -> None:
        self.old, self.view, self.conditional = old, view, conditional
        self.client, self.address = old.client, old.address
        self.place = {"Bucket": old.address.bucket, "Key": old.address.key}
        self.write = new_write()
        self._reading = threading.Lock()
        self._failed = threading.Event()

    def run(self) -> None:
        """Send what changed, and put the new object in the old one's place.

        Raises
        ------
        ConflictError
            If the object is no longer the old one. Nothing was written.
        FileAccessError
            If it could not be written; the message says so if it is not known whether it was.
        """
        changed = [(offset, offset + len(data)) for offset, data in self.view.changed()]
        if not changed and self.view.new_end == self.view.old_end:
            return
        try:
            parts = plan(self.view.old_end, self.view.new_end, changed)
        except ValueError as error:
            raise FileAccessError(str(error), where=str(self.address)) from None
        with ExitStack() as stack:
            upload: dict[str, Any] | None = None
            try:
                upload = self._begin()
                mark(self.client, upload)
                sent = self._send(upload, parts)
                if not self.conditional and not self._stands():
                    raise conflict(self.address)
                lock = self._lock(stack)
            except BaseException as error:
                if upload is not None:
                    self._abort(upload)
                if is_s3_error(error):
                    raise self._explained(error) from None
                raise
            self._complete(upload, sent, lock)

    # The parts ----------------------------------------------------------------------------------------

    def _begin(self) -> dict[str, Any]:
        """Begin an upload with all that the old object has beside its bytes."""
        head = self._head()
        if head["ETag"] != self.old.etag:
            raise conflict(self.address)
        kept = {name: head[name] for name in _KEPT if head.get(name)}
        if tags := self._tags(head):
            kept["Tagging"] = urlencode(tags)
        if head.get("ExpiresString"):
            kept["Expires"] = head["ExpiresString"]
        metadata = with_write(head.get("Metadata", {}), self.write)
        answer = self.client.create_multipart_upload(**self.place, **kept, Metadata=metadata)
        return {**self.place, "UploadId": answer["UploadId"]}

    def _head(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.client.head_object(**self.place)
        return answer

    def _stands(self) -> bool:
        return bool(self._head()["ETag"] == self.old.etag)

    def _tags(self, head: Mapping[str, Any]) -> list[tuple[str, str]]:
        if head.get("TagCount") == 0:
            return []
        try:
            tags = self.client.get_object_tagging(**self.place)["TagSet"]
        except Exception as error:
            if code_of(error) in ("NotImplemented", "NoSuchTagSet", "MethodNotAllowed"):
                return []
            if code_of(error) in ("AccessDenied", "403"):
                msg = "the object's tags can't be read, and would be lost"
                hint = "ask for the permission s3:GetObjectTagging; the object is as it was"
                raise FileAccessError(msg, where=str(self.address), hint=hint) from None
            raise
        return [(one["Key"], one["Value"]) for one in tags]

    def _send(self, upload: Mapping[str, Any], parts: list[Part]) -> list[dict[str, Any]]:
        """Send and copy the parts, several at once; return what S3 wants to know of them at the end."""
        largest = max((one.size for one in parts if not one.copied), default=1)
        sending = threading.BoundedSemaphore(max(1, min(THREADS, _WAITING // largest)))
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="nwbpipe-s3")
        try:
            tasks = [pool.submit(self._part, upload, number, one, sending) for number, one in enumerate(parts, 1)]
            return [{"PartNumber": number, "ETag": one.result()} for number, one in enumerate(tasks, 1)]
        except BaseException:
            self._failed.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # an aborted upload must not get further parts

    def _part(self, upload: Mapping[str, Any], number: int, part: Part, sending: threading.BoundedSemaphore) -> str:
        if part.copied:
            answer = self.client.upload_part_copy(
                **upload,
                PartNumber=number,
                CopySource=self.place,
                CopySourceRange=f"bytes={part.start}-{part.stop - 1}",
                CopySourceIfMatch=self.old.etag,
            )
            return str(answer["CopyPartResult"]["ETag"])
        with sending:
            if self._failed.is_set():
                return ""
            with self._reading:
                data = self.view.at(part.start, part.size)
            answer = self.client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=md5(data))
            return str(answer["ETag"])

    # The end ------------------------------------------------------------------------------------------

    def _lock(self, stack: ExitStack) -> CompletionLock | None:
        """Keep other completions away, where the server may check and complete in two steps."""
        if not self.conditional or completes_in_one_step(self.client):
            return None
        return stack.enter_context(CompletionLock(self.client, self.address, self._stands))

    def _complete(self, upload: dict[str, Any], parts: list[dict[str, Any]], lock: CompletionLock | None) -> None:
        """Complete the upload, and find out what became of it where the answer does not tell."""
        condition = {"IfMatch": self.old.etag} if self.conditional else {}
        error: BaseException | None = None
        for attempt in range(_TRIES):
            if lock is not None and not lock.fresh:
                msg = "the lock beside the object could not be kept"
                error = FileAccessError(msg, where=str(self.address), hint="the object is as it was: try again")
                break
            try:
                self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
                return
            except BaseException as raised:
                error = raised
                if not is_s3_error(raised) or not _may_pass(raised):
                    break
            time.sleep(_PAUSE * 2**attempt if attempt < _TRIES - 1 else 0)
        assert error is not None
        # The upload may have been completed, be it that the answer was lost, or that a second try (boto3's or ours)
        # found it done. Once it is aborted, nothing more can happen to the object: then its mark tells.
        ended = self._abort(upload)
        committed = self._is_there()
        if committed:
            if isinstance(error, Exception):
                return
            raise error  # a KeyboardInterrupt
        if committed is None or (not ended and not is_conflict(error)):
            if lock is not None:
                lock.keep = True
            raise self._unknown(error) from None
        if not is_s3_error(error):
            raise error
        if code_of(error) in ("NoSuchUpload", "NoSuchKey") or is_conflict(error):
            raise self._lost(error) from None
        raise self._explained(error) from None

    def _is_there(self) -> bool | None:
        """Whether the object holds this write; None if nobody can tell."""
        for attempt in range(_TRIES):
            try:
                return holds(self._head().get("Metadata", {}), self.write)
            except Exception as error:
                if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                    return False
            time.sleep(_PAUSE * 2**attempt if attempt < _TRIES - 1 else 0)
        return None

    def _abort(self, upload: Mapping[str, Any]) -> bool:
        """Remove an upload and its parts; return whether it is known to be gone."""
        for attempt in range(_TRIES):
            try:
                self.client.abort_multipart_upload(**upload)
                return True
            except Exception as error:
                if code_of(error) == "NoSuchUpload":
                    return True
                if not _may_pass(error):
                    return False
            time.sleep(_PAUSE * 2**attempt if attempt < _TRIES - 1 else 0)
        return False

    def _lost(self, error: BaseException) -> NwbpipeError:
        """Tell another writer's commit from an upload that somebody removed."""
        with suppress(Exception):
            if code_of(error) == "NoSuchUpload" and self._stands():
                msg = "the upload was removed while it was under way"
                return FileAccessError(msg, where=str(self.address), hint="the object is as it was: try again")
        return conflict(self.address)

    def _unknown(self, error: BaseException) -> FileAccessError:
        explanation = self._explained(error) if is_s3_error(error) else error
        msg = "S3 was lost at the moment of the commit: it may or may not stand"
        hint = "the object is whole, old or new: look at it (nwbpipe log) when S3 can be reached again"
        return FileAccessError(msg, where=str(self.address), found=str(explanation).splitlines()[0], hint=hint)

    def _explained(self, error: BaseException) -> NwbpipeError:
        return explained(error, self.address, "committing", self.client)


def _may_pass(error: BaseException) -> bool:
    """Whether an error of S3 may be gone in a moment."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True  # the network
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (
        status >= 500
        or status == 429
        or code_of(error) in ("ConditionalRequestConflict", "InternalError", "SlowDown")
    )
