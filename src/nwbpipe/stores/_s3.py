"""A store in S3."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property
from typing import IO, Any

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._objects import ObjectStore
from nwbpipe.stores._paths import normalize_path
from nwbpipe.stores._store import StoreEntry
from nwbpipe.stores.s3 import (
    Address,
    RemoteObject,
    connect,
    explain_error,
    is_conflict,
    is_missing,
    is_s3_error,
    parse_address,
    read_object_range,
    require_conditions,
)

WRITE = "nwbpipe-write"  # in an object's metadata: which write made it
_LARGEST = 5 * 2**30  # of what S3 takes in one request


class S3Store(ObjectStore):
    """A bucket, or what is below a prefix in it. Conditions are S3's own (``If-None-Match``, ``If-Match``).

    Parameters
    ----------
    root : str
        ``s3://bucket/prefix``.
    """

    conditional_writes = True  # `require_conditions` asks the server before the first

    def __init__(self, root: str) -> None:
        address = parse_address(root, folder=True)
        self.bucket, self.prefix = address.bucket, address.key.strip("/")
        super().__init__(str(Address(self.bucket, self.prefix)))

    @cached_property
    def _client(self) -> Any:
        return connect()

    def exists(self, path: str) -> bool:
        """See `Store.exists`."""
        address = self._address(path)
        with self._translate_errors(address, "looking"):
            for key in (address.key, f"{address.key}/"):  # `a.txt` comes before `a/`: two questions
                answer = self._client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
                objects = answer.get("Contents", [])
                if objects and (key.endswith("/") or objects[0]["Key"] == key):
                    return True
            return False

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        address = self._address(path)
        with self._translate_errors(address, "looking"):
            head = self._client.head_object(Bucket=self.bucket, Key=address.key)
        modified = head["LastModified"].astimezone(UTC)
        return StoreEntry(normalize_path(path), head["ContentLength"], modified, head["ETag"])

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        start = self._make_folder_key(prefix)
        with self._translate_errors(Address(self.bucket, start), "listing"):
            request = {"Bucket": self.bucket, "Prefix": start, **({} if deep else {"Delimiter": "/"})}
            for page in self._client.get_paginator("list_objects_v2").paginate(**request):
                for item in page.get("Contents", []):
                    if path := self._find_path(item["Key"]):
                        yield StoreEntry(path, item["Size"], item["LastModified"].astimezone(UTC), item["ETag"])

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`."""
        return read_object_range(self._client, self._address(path), start, stop, if_tag)

    def read_bytes(self, path: str) -> bytes:
        """See `Store.read_bytes`."""
        address = self._address(path)
        with self._translate_errors(address, "reading"):
            data: bytes = self._client.get_object(Bucket=self.bucket, Key=address.key)["Body"].read()
            return data

    def open_ranged(self, path: str) -> RemoteObject:
        """See `Store.open_ranged`."""
        return RemoteObject(self._client, self._address(path))

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        address = self._address(path)
        condition = {} if if_tag is None else {"IfMatch": if_tag}
        if condition:
            require_conditions(self._client, address)
        target = {"Bucket": self.bucket, "Key": address.key}
        with self._translate_errors(address, "removing"):
            try:
                self._client.delete_object(**target, **condition)
            except Exception as error:
                if is_missing(error) or (is_conflict(error) and not self._object_exists(target)):
                    return
                raise

    # ------------------------------------------------------------------------------------------------------

    def _address(self, path: str) -> Address:
        return Address(self.bucket, self._make_key(path))

    def _put(self, path: str, source: IO[bytes], size: int, if_absent: bool, if_tag: str | None) -> str:
        """Write an object under a condition: up to 5 GiB, as one request makes one step.

        Session files of any size are uploaded by `nwbpipe.files.create_atomically`.
        """
        address = self._address(path)
        if size > _LARGEST:
            msg = "the file is too large for one request to S3"
            raise FileAccessError(msg, where=str(address), expected="5 GiB at most")
        self.check_condition(path, if_absent, if_tag)
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_tag} if if_tag is not None else {}
        if condition:
            require_conditions(self._client, address)
        write = secrets.token_hex(8)
        target = {"Bucket": self.bucket, "Key": address.key}
        with self._translate_errors(address, "writing"):
            try:
                answer = self._client.put_object(**target, Body=source, Metadata={WRITE: write}, **condition)
                return str(answer["ETag"])
            except Exception as error:
                if not condition or not (is_conflict(error) or is_missing(error)):
                    raise
            # boto3 tries again if an answer is lost: the object in the way may come from our own first try.
            with suppress(Exception):
                head = self._client.head_object(**target)
                if head.get("Metadata", {}).get(WRITE) == write:
                    return str(head["ETag"])
            raise self.conflict_error(normalize_path(path), if_absent=if_absent)

    def _object_exists(self, target: dict[str, str]) -> bool:
        try:
            self._client.head_object(**target)
        except Exception as error:
            if is_missing(error):
                return False
            raise
        return True

    @contextmanager
    def _translate_errors(self, address: Address, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, doing, self._client) from None
