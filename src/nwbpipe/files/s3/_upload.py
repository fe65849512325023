"""A whole local file becomes an object: in one step, and only in the place of what its writer knows of."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.files.s3._complete import Completion, is_transient, unknown_outcome_error
from nwbpipe.files.s3._conditions import is_conditional
from nwbpipe.files.s3._lock import CompletionLock
from nwbpipe.files.s3._orphans import WRITES, content_md5, mark_upload, new_write_id
from nwbpipe.files.s3._plan import plan_parts
from nwbpipe.stores.s3 import (
    THREADS,
    Address,
    checks_in_one_step,
    conflict_error,
    connect,
    explain_error,
    is_conflict,
    is_missing,
    is_s3_error,
    parse_address,
)

_ONE_REQUEST = 5 * 2**30  # of a file that goes as one request, and so in one step on every server


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
    address = parse_address(url)
    with closing(connect()) as client:
        condition: dict[str, str] = {}
        if is_conditional(client, address, unsafe_no_cas=unsafe_no_cas):
            condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        try:
            return _Upload(client, address, source, condition, replaces).run()
        except ConflictError:
            raise _conflict_error(address, replaces) from None
        except Exception as error:
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, "uploading", client) from None


def _conflict_error(address: Address, replaces: str | None) -> ConflictError:
    msg = "there is an object of that name already" if replaces is None else "another writer changed the object"
    hint = "it was left alone: look at it, and choose another name or pass --overwrite"
    return ConflictError(msg, where=str(address), hint=hint)


class _Upload:
    """One upload."""

    def __init__(
        self, client: Any, address: Address, source: Path, condition: Mapping[str, str], replaces: str | None
    ) -> None:
        self.client, self.address, self.source = client, address, source
        self.condition, self.replaces = condition, replaces
        self.place = {"Bucket": address.bucket, "Key": address.key}
        write = new_write_id()
        self.described = {"Metadata": {WRITES: write}, "ContentType": "application/x-hdf5"}
        self.end = Completion(client, address, write, condition, self._is_in_place)

    def run(self) -> str:
        """Send it; return the object's ETag."""
        size = self.source.stat().st_size
        if size > _ONE_REQUEST:
            return self._send_in_parts(size)
        # A new object that is stored by one request is stored in one step on every server. In the place of another
        # one, it must not come between a completion's look and its act.
        if not self.condition or self.replaces is None or checks_in_one_step(self.client):
            return self._send_whole()
        with CompletionLock(self.client, self.address, self._is_in_place) as lock:
            try:
                return self._send_whole()
            except Exception as error:
                # It may be carried out yet.
                lock.keep = isinstance(error, FileAccessError) or (is_s3_error(error) and is_transient(error))
                raise

    def _is_in_place(self) -> bool:
        try:
            return bool(self.client.head_object(**self.place)["ETag"] == self.replaces)
        except Exception as error:
            if is_missing(error):
                return self.replaces is None
            raise

    def _send_whole(self) -> str:
        try:
            with self.source.open("rb") as body:
                digest = hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False)).digest()
                body.seek(0)
                checked = {"ContentMD5": base64.b64encode(digest).decode()}  # refused if it was changed on the way
                described = {**self.described, **checked, **self.condition}
                return str(self.client.put_object(**self.place, **described, Body=body)["ETag"])
        except Exception as error:
            if not is_s3_error(error):
                raise
            try:
                stored = self.end.find_stored_etag()
            except Exception:
                if is_transient(error):
                    raise unknown_outcome_error(error, self.address, self.client) from None
                raise error from None
            if stored is not None:  # the answer was lost
                return stored
            if is_conflict(error) or (self.replaces is not None and is_missing(error)):
                raise conflict_error(self.address) from None
            raise

    def _send_in_parts(self, size: int) -> str:
        try:
            parts = plan_parts(0, size, [])
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
            part = self.client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=content_md5(data))
            return {"PartNumber": number, "ETag": part["ETag"]}

        try:
            mark_upload(self.client, upload)
            with ThreadPoolExecutor(THREADS, thread_name_prefix="nwbpipe-s3") as pool:
                tasks = [pool.submit(send, number, piece.start, piece.size) for number, piece in enumerate(parts, 1)]
                try:
                    sent = [task.result() for task in tasks]
                except BaseException:
                    failed.set()
                    raise
        except BaseException:
            self.end.abort(upload)
            raise
        return self.end.run(upload, sent)
