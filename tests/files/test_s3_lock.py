"""Of several completions at once exactly one succeeds, where the server checks the condition apart from acting."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from nwbpipe import files
from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.files.s3 import _lock
from nwbpipe.files.s3._lock import CompletionLock, lock_key
from nwbpipe.stores.s3 import Address, _client
from tests.fixtures.s3 import Bucket

pytestmark = pytest.mark.slow

KEY = "session.nwb"


def address(bucket: Bucket) -> Address:
    return Address(bucket.name, KEY)


def lock(bucket: Bucket, stands: Callable[[], bool] = lambda: True) -> CompletionLock:
    return CompletionLock(_client.connect(), address(bucket), stands)


def keys(bucket: Bucket) -> list[str]:
    return [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


def together(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_three_completions_at_once_exactly_one_succeeds(bucket: Bucket) -> None:
    clients = [_client.connect() for _ in range(3)]
    place = {"Bucket": bucket.name, "Key": KEY}
    for turn in range(25):
        bucket.client.put_object(**place, Body=b"old")
        etag = bucket.client.head_object(**place)["ETag"]
        ready, done = threading.Barrier(3), []

        def complete(
            number: int, turn: int = turn, etag: str = etag, ready: threading.Barrier = ready, done: list[int] = done
        ) -> None:
            client = clients[number]
            upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
            part = client.upload_part(**upload, PartNumber=1, Body=f"{turn} {number}".encode())
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            ready.wait()
            try:
                with CompletionLock(
                    client, address(bucket), lambda: bool(client.head_object(**place)["ETag"] == etag)
                ):
                    client.complete_multipart_upload(**upload, MultipartUpload=parts, IfMatch=etag)
            except (ConflictError, client.exceptions.ClientError):
                return
            done.append(number)

        together(*(lambda number=number: complete(number) for number in range(3)))
        assert len(done) == 1, f"turn {turn}: {done} were told that they succeeded"
        assert bucket.data() == f"{turn} {done[0]}".encode()
    assert keys(bucket) == [KEY]  # no lock is left


def test_one_at_a_time(bucket: Bucket) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(4):
            with lock(bucket):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.02)
                inside.pop()

    together(work, work, work)
    assert len(most) == 12
    assert max(most) == 1


def test_a_dead_holders_lock_is_taken_over(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "LEASE", 0.5)
    bucket.client.put_object(Bucket=bucket.name, Key=lock_key(KEY), Body=b"somebody 1")
    began = time.monotonic()
    with lock(bucket):
        assert time.monotonic() - began >= 0.5
    assert keys(bucket) == []


def test_a_live_holders_lock_is_not(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "LEASE", 1.5)
    released: list[float] = []
    entered: list[float] = []

    def wait() -> None:
        with lock(bucket):
            entered.append(time.monotonic())

    with lock(bucket) as held:
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(4)
        assert held.is_fresh
        assert not entered
        released.append(time.monotonic())
    waiting.join()
    assert entered[0] > released[0]


def test_who_was_overtaken_leaves_the_lock_alone(bucket: Bucket) -> None:
    with lock(bucket):
        bucket.client.put_object(Bucket=bucket.name, Key=lock_key(KEY), Body=b"another 1")
    assert bucket.data(lock_key(KEY)) == b"another 1"


class Turns:
    """In place of the event that a lock's renewer waits on: each wait is over at once, until the work is done."""

    def __init__(self, *turns: Callable[[], None]) -> None:
        self._turns = iter(turns)

    def wait(self, _: float) -> bool:
        for turn in self._turns:
            turn()
            return False
        return True


class Clock:
    """In place of the module `time`."""

    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(_lock, "time", made)
    return made


def state(bucket: Bucket) -> str:
    return str(bucket.client.head_object(Bucket=bucket.name, Key=lock_key(KEY))["ETag"])


def lose_answers(monkeypatch: pytest.MonkeyPatch, held: CompletionLock, name: str = "put_object") -> None:
    """Have the next of these requests carried out and its answer lost, as it would be after boto3's last try."""
    request = getattr(held._client, name)

    def lost(**given: Any) -> None:
        monkeypatch.setattr(held._client, name, request)
        request(**given)
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    monkeypatch.setattr(held._client, name, lost)


@pytest.mark.parametrize("other", [b"another 1", None], ids=["taken over", "removed"])
def test_who_lost_the_lock_knows_it_with_the_next_renewal(bucket: Bucket, clock: Clock, other: bytes | None) -> None:
    held, place = lock(bucket), {"Bucket": bucket.name, "Key": lock_key(KEY)}
    held._acquire()
    assert held.is_fresh
    if other is None:
        bucket.client.delete_object(**place)
    else:
        bucket.client.put_object(**place, Body=other)
    held._ended = Turns(lambda: None)  # type: ignore[assignment]
    held._renew()
    assert not held.is_fresh


def test_a_renewal_whose_answer_was_lost_does_not_count_from_when_it_is_found(
    bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lock(bucket)
    held._acquire()
    seen: list[str] = []

    def first() -> None:
        clock.now = 10
        lose_answers(monkeypatch, held)

    def second() -> None:
        clock.now = 55
        seen.append(state(bucket))  # as a waiting writer sees it since 10: it takes over at 70

    held._ended = Turns(first, second)  # type: ignore[assignment]
    held._renew()
    clock.now = 71
    assert held.is_fresh
    assert state(bucket) != seen[0]  # it was not there to be taken over


def test_so_is_it_where_the_lock_was_taken_over_and_the_answer_lost(
    bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=lock_key(KEY), Body=b"somebody 1")
    held, seen = lock(bucket), []
    put = held._client.put_object
    monkeypatch.setattr(clock, "sleep", lambda _: setattr(clock, "now", clock.now + 31), raising=False)

    def twice(**given: Any) -> Any:
        if "IfMatch" in given and not seen:  # boto3 asks again, and is refused for what it did itself
            put(**given)
            seen.append(state(bucket))
        return put(**given)

    monkeypatch.setattr(held._client, "put_object", twice)
    held._acquire()
    assert held.is_fresh
    assert state(bucket) not in seen


def test_a_removal_whose_answer_was_lost_spares_the_next_holder(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lock(bucket)
    delete = held._client.delete_object
    nexts: list[bytes] = []

    def lost(**given: Any) -> None:
        delete(**given)
        if not nexts:
            nexts.append(b"another 1")
            bucket.client.put_object(Bucket=bucket.name, Key=lock_key(KEY), Body=nexts[0])
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    with held:
        monkeypatch.setattr(held._client, "delete_object", lost)
    assert bucket.data(lock_key(KEY)) == nexts[0]


def test_boto3_does_not_try_again_without_the_lock(bucket: Bucket) -> None:
    held, tries = lock(bucket), []

    def unreachable(**_: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            held._renewed = -math.inf  # as after a long wait for an answer
            raise ConnectionClosedError(endpoint_url="http://127.0.0.1")

    held._client.meta.events.register("before-send.s3.PutObject", unreachable)
    with held:
        tries.clear()
        with pytest.raises(FileAccessError, match="could not be kept"):
            held._client.put_object(Bucket=bucket.name, Key=KEY, Body=b"1")
    assert len(tries) == 2
    assert keys(bucket) == []
    held._client.put_object(Bucket=bucket.name, Key=KEY, Body=b"1")  # out of it, it is as any client


def test_who_waits_is_told_that_the_object_changed(bucket: Bucket) -> None:
    with lock(bucket), pytest.raises(ConflictError), lock(bucket, lambda: False):
        pass
    assert keys(bucket) == []


def test_a_lock_that_was_not_kept_ends_the_commit(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    url = bucket.put(tmp_path / "a.h5")
    monkeypatch.setattr(CompletionLock, "is_fresh", False)
    with pytest.raises(FileAccessError, match="could not be kept"), files.transaction(url) as file:
        file["y"] = 2
    assert bucket.data() == (tmp_path / "a.h5").read_bytes()
    assert bucket.uploads() == []
    assert keys(bucket) == [KEY]
