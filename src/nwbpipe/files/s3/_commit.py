"""Commit a changed view to its object: see ``docs/design/007-s3.md``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

from nwbpipe.errors import FileAccessError
from nwbpipe.files._view import View
from nwbpipe.files.s3._complete import Completion
from nwbpipe.files.s3._orphans import add_write, content_md5, mark_upload, new_write_id
from nwbpipe.files.s3._plan import plan_parts
from nwbpipe.stores import UploadPart
from nwbpipe.stores.s3 import THREADS, RemoteObject, code_of, conflict_error, explain_error, is_s3_error

_WAITING = 96 * 2**20  # bytes of parts in memory, or one part

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


class ObjectCommit:
    """A commit to one object.

    Parameters
    ----------
    old : RemoteObject
        The state that the view was opened on.
    conditional : bool
        True if the server checks that the old state still stands. If not, it is looked at, just before.
    """

    def __init__(self, old: RemoteObject, *, conditional: bool = True) -> None:
        self.old, self.conditional = old, conditional
        self.client, self.address = old.client, old.address
        self.place = {"Bucket": old.address.bucket, "Key": old.address.key}
        self.write = new_write_id()
        self._reading = threading.Lock()
        self._failed = threading.Event()

    def run(self, view: View) -> None:
        """Send the changed bytes of a view, and put the new object in the old one's place.

        Raises
        ------
        ConflictError
            If the object is no longer the old one. Nothing was written.
        FileAccessError
            If it could not be written; the message says so if it is not known whether it was.
        """
        changed = [(offset, offset + len(data)) for offset, data in view.changed_pages()]
        if not changed and view.new_end == view.old_end:
            return
        try:
            parts = plan_parts(view.old_end, view.new_end, changed)
        except ValueError as error:
            raise FileAccessError(str(error), where=str(self.address)) from None
        end = Completion(
            self.client,
            self.address,
            self.write,
            {"IfMatch": self.old.tag} if self.conditional else {},
            self._is_unchanged,
        )
        upload: dict[str, Any] | None = None
        try:
            upload = self._begin()
            mark_upload(self.client, upload)
            sent = self._send(upload, parts, view)
            if not self.conditional and not self._is_unchanged():
                raise conflict_error(self.address)
        except BaseException as error:
            if upload is not None:
                end.abort(upload)
            if is_s3_error(error):
                raise explain_error(error, self.address, "committing", self.client) from None
            raise
        end.run(upload, sent)

    # The parts ----------------------------------------------------------------------------------------

    def _begin(self) -> dict[str, Any]:
        """Begin an upload with all that the old object has beside its bytes."""
        head = self._head()
        if head["ETag"] != self.old.tag:
            raise conflict_error(self.address)
        properties = {name: head[name] for name in _KEPT if head.get(name)}
        if tags := self._read_tags(head):
            properties["Tagging"] = urlencode(tags)
        if head.get("ExpiresString"):
            properties["Expires"] = head["ExpiresString"]
        metadata = add_write(head.get("Metadata", {}), self.write)
        answer = self.client.create_multipart_upload(**self.place, **properties, Metadata=metadata)
        return {**self.place, "UploadId": answer["UploadId"]}

    def _head(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.client.head_object(**self.place)
        return answer

    def _is_unchanged(self) -> bool:
        return bool(self._head()["ETag"] == self.old.tag)

    def _read_tags(self, head: Mapping[str, Any]) -> list[tuple[str, str]]:
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
        return [(tag["Key"], tag["Value"]) for tag in tags]

    def _send(self, upload: Mapping[str, Any], parts: list[UploadPart], view: View) -> list[dict[str, Any]]:
        """Send and copy the parts, several at once; return their numbers and ETags."""
        largest = max((part.size for part in parts if not part.copied), default=1)
        sending = threading.BoundedSemaphore(max(1, min(THREADS, _WAITING // largest)))
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="nwbpipe-s3")
        try:
            tasks = [
                pool.submit(self._send_part, upload, number, part, view, sending)
                for number, part in enumerate(parts, 1)
            ]
            return [{"PartNumber": number, "ETag": task.result()} for number, task in enumerate(tasks, 1)]
        except BaseException:
            self._failed.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # an aborted upload must not get further parts

    def _send_part(
        self,
        upload: Mapping[str, Any],
        number: int,
        part: UploadPart,
        view: View,
        sending: threading.BoundedSemaphore,
    ) -> str:
        if part.copied:
            answer = self.client.upload_part_copy(
                **upload,
                PartNumber=number,
                CopySource=self.place,
                CopySourceRange=f"bytes={part.start}-{part.stop - 1}",
                CopySourceIfMatch=self.old.tag,
            )
            return str(answer["CopyPartResult"]["ETag"])
        with sending:
            if self._failed.is_set():
                return ""
            with self._reading:
                data = view.read_new(part.start, part.size)
            answer = self.client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=content_md5(data))
            return str(answer["ETag"])
