"""Every request of a commit to S3 fails, or is carried out and its answer lost: old or new, and the caller knows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe import files
from nwbpipe.errors import FileAccessError
from nwbpipe.files.s3 import _complete
from nwbpipe.files.s3._lock import lock_key
from nwbpipe.stores import _s3
from nwbpipe.stores.s3 import _client
from tests.fixtures.s3 import SECRET, Bucket

pytestmark = pytest.mark.slow

# Each says whether a request is carried out, and whether its answer comes; `later` counts requests after the fault.
MODES: dict[str, Callable[[int], tuple[bool, bool]]] = {
    "fails": lambda later: (later > 0, later > 0),
    "answer lost": lambda later: (True, later > 0),
    "unreachable from there on": lambda later: (False, False),
    "carried out, then unreachable": lambda later: (later == 0, False),
}


class Faulty:
    """A client of which one request goes wrong."""

    def __init__(
        self, client: Any, at: int | None = None, mode: str = "fails", error: Exception | None = None
    ) -> None:
        self._client, self._at, self._mode, self._error = client, at, mode, error
        self._lock = threading.Lock()
        self.names: list[str] = []
        self.after: Callable[[str], None] | None = None  # called when a request was carried out

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        if name in ("meta", "_request_signer", "close"):
            return member

        def call(**arguments: Any) -> Any:
            from botocore.exceptions import ReadTimeoutError

            with self._lock:
                number = len(self.names)
                self.names.append(name)
            done, answered = True, True
            if self._at is not None and number >= self._at:
                done, answered = MODES[self._mode](number - self._at)
            answer = member(**arguments) if done else None
            if done and self.after is not None:
                self.after(name)
            if not answered:
                if done and "Body" in answer:
                    answer["Body"].close()
                raise self._error or ReadTimeoutError(endpoint_url=f"http://u:{SECRET}@s3.example/?x={SECRET}")
            return answer

        return call


@pytest.fixture
def target(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Bucket, bytes]:
    """Address, bucket and bytes of an object of which a commit copies some parts and sends others."""
    monkeypatch.setattr(_complete, "_PAUSE", 0.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.random.default_rng(0).integers(0, 2**62, 11 * 2**17)
    url = bucket.put(tmp_path / "a.h5")
    return url, bucket, (tmp_path / "a.h5").read_bytes()


def append(url: str) -> None:
    with files.transaction(url) as file:
        file["new"] = np.arange(1000)


def ask(url: str) -> str:
    """Append; return what the caller is told of the outcome."""
    try:
        append(url)
    except FileAccessError as error:
        shown = str(error)
    else:
        return "new"
    assert SECRET not in shown
    assert "botocore" not in shown
    return "unknown" if "may or may not" in shown else "old"


def is_new(data: bytes, path: Path) -> bool:
    """Whether an object holds what was appended; all that was there before must be there, too."""
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert np.array_equal(file["x"][()], np.random.default_rng(0).integers(0, 2**62, 11 * 2**17))
        if "new" not in file:
            return False
        assert np.array_equal(file["new"][()], np.arange(1000))
        return True


def last_places(names: list[str]) -> dict[str, int]:
    """Return where each name is found last."""
    return {name: place for place, name in enumerate(names)}


def use(monkeypatch: pytest.MonkeyPatch, **fault: Any) -> Faulty:
    client = Faulty(_client.connect(), **fault)
    monkeypatch.setattr(_s3, "connect", lambda: client)
    return client


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_a_request_goes_wrong(
    every: bool, target: tuple[str, Bucket, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first and the last request of each kind; in the thorough form each request."""
    url, bucket, old = target
    use(monkeypatch)
    append(url)  # once, for the question whether the server checks conditions
    bucket.client.put_object(Bucket=bucket.name, Key="session.nwb", Body=old)
    whole = use(monkeypatch)
    append(url)
    assert {"upload_part", "upload_part_copy", "complete_multipart_upload"} <= set(whole.names)
    outcomes: dict[str, int] = {}
    places = sorted({whole.names.index(name) for name in whole.names} | set(last_places(whole.names).values()))
    for mode in MODES:
        for at in range(len(whole.names)) if every else places:
            bucket.client.put_object(Bucket=bucket.name, Key="session.nwb", Body=old)
            client = use(monkeypatch, at=at, mode=mode)
            where = f"{mode} at {at} of {whole.names}"
            told = ask(url)
            new = is_new(bucket.data(), tmp_path / "b.h5")
            assert told in ("unknown", "new" if new else "old"), f"{where}: told {told}, new: {new}"
            if told == "unknown":  # only where nothing could be asked any more
                assert "unreachable" in mode, where
                assert "complete_multipart_upload" in client.names, where
            if not new:
                assert hashlib.sha256(bucket.data()).digest() == hashlib.sha256(old).digest(), where
            if "unreachable" not in mode and told != "new" and "create_multipart_upload" in client.names[:at]:
                assert bucket.uploads() == [], where
            outcomes[told] = outcomes.get(told, 0) + 1
            for one in bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []):
                bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=one["Key"], UploadId=one["UploadId"])
            locked = [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
            if lock_key("session.nwb") in locked:  # it would be taken over in time
                assert "unreachable" in mode, where
                bucket.client.delete_object(Bucket=bucket.name, Key=lock_key("session.nwb"))
    print(f"{sum(outcomes.values())} cases: {outcomes}")
    assert set(outcomes) == {"old", "new", "unknown"}


def test_an_answer_is_lost_and_another_writer_builds_on_the_commit(
    target: tuple[str, Bucket, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bucket, _ = target
    monkeypatch.setattr(_complete, "checks_in_one_step", lambda client: True)  # else the other writer has to wait
    client = use(monkeypatch)
    real: list[int] = []

    def another(name: str) -> None:
        if name != "complete_multipart_upload" or real:
            return
        real.append(1)
        monkeypatch.setattr(_s3, "connect", _client.connect)
        with files.transaction(url) as file:
            file["another"] = 1
        from botocore.exceptions import ReadTimeoutError

        raise ReadTimeoutError(endpoint_url="http://s3.example")

    client.after = another
    append(url)  # it was committed: no error
    assert is_new(bucket.data(), tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert "another" in file


def test_a_failure_while_reading_is_not_committed(
    target: tuple[str, Bucket, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bucket, old = target
    client = use(monkeypatch)
    with pytest.raises(FileAccessError, match="can't be reached"), files.transaction(url) as file:  # noqa: PT012
        file["new"] = 1
        client._at, client._mode = 0, "unreachable from there on"
        with pytest.raises((OSError, FileAccessError)):
            file["x"][6 * 2**17 : 6 * 2**17 + 10]
        client._at = None
    assert bucket.data() == old


def test_expired_credentials(target: tuple[str, Bucket, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    url, bucket, old = target
    answer = {"Error": {"Code": "ExpiredToken", "Message": SECRET}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    for at in (0, 2, 4):
        use(monkeypatch, at=at, mode="unreachable from there on", error=ClientError(answer, "X"))
        with pytest.raises(FileAccessError, match="expired") as caught:
            append(url)
        assert SECRET not in str(caught.value)
    assert bucket.data() == old
