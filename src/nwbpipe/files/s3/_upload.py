"""A whole local file becomes an object: in one step, and only in the place of what its writer knows of."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any

from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.files.s3._conditions import completes_in_one_step, require_conditions, unsafe_allowed
from nwbpipe.files.s3._lock import CompletionLock
from nwbpipe.files.s3._marks import WRITES, holds, mark, md5, new_write
from nwbpipe.files.s3._plan import plan
from nwbpipe.stores.s3 import THREADS, Address, code_of, connect, explained, is_conflict, is_s3_error, parse

_ONE_REQUEST = 5 * 2**30  # of a file that goes as one request, and so in one step on every server
_MISSING = ("404", "NoSuchKey", "NotFound")


def s3_upload(source: Path, url: Path | str, *, replaces: str | None = None, unsafe_no_cas: bool = False) -> str:
    """Store a file as an object.

    Parameters
    ----------
    source : Path
        The file.
    url : path
        ``s3://bucket/key``.
    replaces : str, optional
        ETag of the object that is there and may be replaced; by default there must be none.
    unsafe_no_cas : bool
        Whether to go on where the server does not check conditions.

    Returns
    -------
    str
        Its ETag.

    Raises
    ------
    ConflictError
        If there is another object now, or one at all. It is left alone.
    FileAccessError
        If it can't be stored; the message says so if it is not known whether it was.
    """
    address = parse(url)
    with closing(connect()) as client:
        condition: dict[str, str] = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        if unsafe_allowed(unsafe_no_cas):
            condition = {}
        else:
            require_conditions(client, address)
        upload = _Upload(client, address, source, condition)
        try:
            with _alone(upload, replaces) if condition else nullcontext():
                return upload.run()
        except Exception as error:
            if not is_s3_error(error):
                raise
            stored = upload.stored()
            if stored is not None:  # the answer was lost
                return stored
            if is_conflict(error) or (replaces is not None and code_of(error) in _MISSING):
                raise _forestalled(address, replaces) from None
            raise explained(error, address, "uploading", client) from None


def _alone(upload: _Upload, replaces: str | None) -> AbstractContextManager[object]:
    """Keep completions of other uploads away, where the server may check and complete in two steps (see `_lock`)."""
    if completes_in_one_step(upload.client) or (replaces is None and upload.size <= _ONE_REQUEST):
        return nullcontext()
    return CompletionLock(upload.client, upload.address, lambda: upload.present() == replaces)


def _forestalled(address: Address, replaces: str | None) -> ConflictError:
    what = "there is an object of that name already" if replaces is None else "another writer changed the object"
    hint = "it was left alone: look at it, and choose another name or pass --overwrite"
    return ConflictError(what, where=str(address), hint=hint)


class _Upload:
    """One upload, and how to find out whether it was carried out."""

    def __init__(self, client: Any, address: Address, source: Path, condition: Mapping[str, str]) -> None:
        self.client, self.address, self.source, self.condition = client, address, source, condition
        self.size = source.stat().st_size
        self.place = {"Bucket": address.bucket, "Key": address.key}
        self.write = new_write()
        self.described = {"Metadata": {WRITES: self.write}, "ContentType": "application/x-hdf5"}

    def run(self) -> str:
        """Send it."""
        if self.size > _ONE_REQUEST:
            return self._in_parts(self.size)
        with self.source.open("rb") as body:
            answer = self.client.put_object(**self.place, **self.described, Body=body, **self.condition)
        return str(answer["ETag"])

    def present(self) -> str | None:
        """Return the ETag of the object that is there; None if there is none."""
        try:
            return str(self.client.head_object(**self.place)["ETag"])
        except Exception as error:
            if code_of(error) in _MISSING:
                return None
            raise

    def stored(self) -> str | None:
        """Return the object's ETag, if it holds this upload."""
        with suppress(Exception):
            head = self.client.head_object(**self.place)
            if holds(head.get("Metadata", {}), self.write):
                return str(head["ETag"])
        return None

    def _in_parts(self, size: int) -> str:
        try:
            parts = plan(0, size, [])
        except ValueError as error:
            raise FileAccessError(str(error), where=str(self.source)) from None
        answer = self.client.create_multipart_upload(**self.place, **self.described)
        upload = {**self.place, "UploadId": answer["UploadId"]}
        failed = threading.Event()

        def send(number: int, start: int, length: int) -> dict[str, Any]:
            if failed.is_set():
                return {}
            with self.source.open("rb") as file:
                file.seek(start)
                data = file.read(length)
            part = self.client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=md5(data))
            return {"PartNumber": number, "ETag": part["ETag"]}

        try:
            mark(self.client, upload)
            with ThreadPoolExecutor(THREADS, thread_name_prefix="nwbpipe-s3") as pool:
                tasks = [pool.submit(send, number, one.start, one.size) for number, one in enumerate(parts, 1)]
                try:
                    sent = [task.result() for task in tasks]
                except BaseException:
                    failed.set()
                    raise
            done = self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, **self.condition)
            return str(done["ETag"])
        except BaseException:
            with suppress(Exception):
                self.client.abort_multipart_upload(**upload)
            raise
