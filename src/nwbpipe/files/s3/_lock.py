"""One completion of an object at a time, on servers that look at its condition and act on it in two steps.

Between the two, another writer's completion may come: both are told that they succeeded, and one is lost. SeaweedFS
4.48 does so; its conditional `PutObject` is one step. So an object beside the data's is made before the completion,
on the condition that it is not there, and removed after it. It says who holds it, and is written anew now and then
while it is held. A dead holder's stops changing: after `LEASE` seconds by the waiting writer's own clock, that
writer takes it over, on the condition that it is still the one that was seen.

So a holder counts from before the request by which the lock got its present state. Where it finds a state that came
of an earlier request, whose answer was lost, it does not know since when others count, and writes it anew.
"""

from __future__ import annotations

import math
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.stores.s3 import Address, code_of, conflict_error, explain_error, is_conflict, is_missing, is_s3_error

LEASE = 60.0  # seconds after which a lock that does not change is its holder's no more
_TRIES = 3
_PAUSE = (0.05, 1.0)  # seconds between two looks, growing
_SUFFIX = ".nwbpipe-lock"
_GUARDED = ("before-send.s3.CompleteMultipartUpload", "before-send.s3.PutObject")  # boto3's events


def lock_key(key: str) -> str:
    """Key of the lock beside an object."""
    return f"{key}{_SUFFIX}"


class CompletionLock:
    """Held while an upload is completed, or an object stored.

    Meanwhile the client sends no such request, be it boto3's own next try, once somebody may take the lock over.

    Parameters
    ----------
    client : boto3 client
    address : Address
        The object.
    stands : callable
        Whether the object is still the one that the upload was made from; asked while waiting.

    Raises
    ------
    ConflictError
        On entry, if another writer has changed the object meanwhile.
    FileAccessError
        By a request that is not sent.
    """

    def __init__(self, client: Any, address: Address, stands: Callable[[], bool]) -> None:
        self._client, self._address, self._stands = client, address, stands
        self._place = {"Bucket": address.bucket, "Key": lock_key(address.key)}
        self._owner = secrets.token_hex(16).encode()
        self._tag = ""
        self._renewed = -math.inf  # others take it over `LEASE` seconds after this at the earliest
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None
        self.keep = False  # True: an unknown outcome; nobody may complete before the lease has run out

    def __enter__(self) -> CompletionLock:
        try:
            self._acquire()
        except BaseException as error:
            self._release()  # the answer of a request that was carried out may have been lost
            if is_s3_error(error):
                raise self._explain_error(error) from None
            raise
        for event in _GUARDED:
            self._client.meta.events.register(event, self._refuse_if_stale)
        self._renewer = threading.Thread(target=self._renew, name="nwbpipe-s3-lock", daemon=True)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        for event in _GUARDED:
            self._client.meta.events.unregister(event, self._refuse_if_stale)
        if not self.keep:
            self._release()

    @property
    def is_fresh(self) -> bool:
        """True if an upload can be completed before another writer may take over the lock."""
        return time.monotonic() - self._renewed < LEASE / 2

    def _refuse_if_stale(self, request: Any, **_: Any) -> None:
        """Stop a request, before each try of boto3's."""
        if not self.is_fresh and not urlsplit(request.url).path.endswith(_SUFFIX):
            msg = "the lock beside the object could not be kept"
            raise FileAccessError(msg, where=str(self._address), hint="the object is as it was: try again")

    def _acquire(self) -> None:
        last_tag, since, pause = "", 0.0, _PAUSE[0]
        while not self._write(IfNoneMatch="*"):
            holder = self._read_holder()
            if holder is None:
                continue
            owner, tag = holder
            if owner == self._owner:  # a request of ours was carried out, and its answer lost
                if self._write(IfMatch=tag):
                    return
                continue
            if not self._stands():
                raise conflict_error(self._address)
            if tag != last_tag:
                last_tag, since = tag, time.monotonic()
            elif time.monotonic() - since > LEASE and self._write(IfMatch=tag):
                return
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(pause * 1.5, _PAUSE[1])

    def _write(self, **condition: str) -> bool:
        """Write the lock; False if the condition does not hold."""
        asked = time.monotonic()
        body = self._owner + b" " + secrets.token_hex(4).encode()
        try:
            self._tag = self._client.put_object(**self._place, Body=body, **condition)["ETag"]
        except Exception as error:
            if is_conflict(error) or is_missing(error):
                return False
            raise
        self._renewed = asked
        return True

    def _read_holder(self) -> tuple[bytes, str] | None:
        """Return who holds the lock, and its ETag; None if nobody does."""
        try:
            answer = self._client.get_object(**self._place)
        except Exception as error:
            if is_missing(error):
                return None
            raise
        return answer["Body"].read().partition(b" ")[0], answer["ETag"]

    def _renew(self) -> None:
        while not self._ended.wait(LEASE / 6):
            with suppress(Exception):  # it is tried again; `fresh` tells when that went on for too long
                if self._write(IfMatch=self._tag):
                    continue
                holder = self._read_holder()
                if holder is None or holder[0] != self._owner:  # taken over, or removed by somebody
                    self._renewed = -math.inf
                    return
                self._write(IfMatch=holder[1])

    def _release(self) -> None:
        """Remove the lock if it is ours; one that stays is taken over after its lease."""
        for _ in range(_TRIES):
            with suppress(Exception):
                holder = self._read_holder()
                if holder is None or holder[0] != self._owner:
                    return
                try:
                    self._client.delete_object(**self._place, IfMatch=holder[1])
                except Exception as error:
                    if code_of(error) in ("NotImplemented", "501"):  # the server does not know the condition
                        self._client.delete_object(**self._place)
                    elif not is_conflict(error) and not is_missing(error):
                        raise  # after any other error, what is there now may be another writer's
                return

    def _explain_error(self, error: BaseException) -> NwbpipeError:
        return explain_error(error, self._address, f"locking it ({lock_key(self._address.key)})", self._client)
