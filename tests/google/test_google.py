"""Session files in Google's storage: the contract of a store, and each request of a commit lost.

The server is one of the tests' own (`tests.fixtures.google`): nothing here ran on the real service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h5py
import pytest

import nwbpipe
from nwbpipe.errors import FileAccessError
from nwbpipe.project.state import Leases
from nwbpipe.stores import Store, _google, _objects, open_store
from nwbpipe.testing import StoreTests
from tests.fixtures.commits import CommitTests, Lost
from tests.fixtures.google import GoogleServer, serve_google

pytestmark = [pytest.mark.google, pytest.mark.timeout(600)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleServer]:
    """A server without objects, to which Google's variable leads."""
    pytest.importorskip("google.cloud.storage")
    with serve_google() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
        monkeypatch.setattr(_objects, "_answers", {})
        yield server


@pytest.fixture
def bucket(server: GoogleServer) -> str:
    return "gs://lab-bucket"


class TestGoogleStore(StoreTests):
    @pytest.fixture
    def store(self, bucket: str) -> Store:
        return open_store(f"{bucket}/lab/files")


def test_one_of_two_takes_a_lease(bucket: str) -> None:
    first, second = (Leases(open_store(f"{bucket}/state")) for _ in range(2))
    try:
        lease = first.take("a", session="s", step="x")
        assert lease is not None
        assert second.take("a", session="s", step="x") is None
        first.release(lease)
        assert second.take("a", session="s", step="x") is not None
    finally:
        first.close()
        second.close()


def test_a_large_file_is_uploaded_and_a_commit_keeps_what_the_object_has_beside_its_bytes(
    bucket: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["large"] = range(1_500_000)  # more than the client sends in one request
    store = open_store(bucket)
    blob = store._blob("a.h5")  # type: ignore[attr-defined]
    blob.metadata, blob.cache_control = {"lab": "ours"}, "no-cache"
    blob.upload_from_filename(tmp_path / "a.h5", content_type="application/x-hdf5")
    with nwbpipe.files.transaction(f"{bucket}/a.h5") as file:
        file["y"] = 1
    blob.reload()
    assert (blob.metadata["lab"], blob.cache_control, blob.content_type) == ("ours", "no-cache", "application/x-hdf5")
    with nwbpipe.files.open_remote(f"{bucket}/a.h5") as file:
        assert set(file) == {"large", "y"}
        assert list(file["large"][-3:]) == [1_499_997, 1_499_998, 1_499_999]


class TestCommits(CommitTests):
    @pytest.fixture
    def root(self, bucket: str) -> str:
        return bucket

    @pytest.fixture
    def lost(self, root: str, monkeypatch: pytest.MonkeyPatch) -> Lost:
        import requests

        open_store(root).write_bytes("b", b"", if_absent=True)  # the server is asked whether it checks
        lost, send = Lost(), requests.Session.request

        def fail(session: Any, method: str, url: str, *values: Any, **options: Any) -> Any:
            if "/o" not in urlsplit(url).path:  # a thread of the client's asks about the bucket at times of its own
                return send(session, method, url, *values, **options)
            return lost.send(
                lambda: send(session, method, url, *values, **options),
                requests.ConnectionError("the server can't be reached"),
                requests.ConnectionError("the answer is lost"),
            )

        monkeypatch.setattr(requests.Session, "request", fail)
        monkeypatch.setattr(_google, "_DEADLINE_S", 0.0)
        return lost


def test_a_lost_answer_is_asked_for_again(bucket: str, server: GoogleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    store = open_store(bucket)
    tag = store.write_bytes("a", b"old")
    send, sent = requests.Session.request, list[str]()

    def fail(session: Any, method: str, url: str, *values: Any, **options: Any) -> Any:
        answer = send(session, method, url, *values, **options)
        if "/upload/" in url and f"ifGenerationMatch={tag}" in url and not sent:
            sent.append(url)
            raise requests.ConnectionError("the answer is lost")
        return answer

    store.write_bytes("b", b"", if_absent=True)  # the server is asked whether it checks conditions
    monkeypatch.setattr(requests.Session, "request", fail)
    new = store.write_bytes("a", b"new", if_tag=tag)
    assert sent
    assert (store.stat("a").tag, store.read_bytes("a")) == (new, b"new")


def test_a_server_that_ignores_conditions_is_refused(bucket: str, server: GoogleServer) -> None:
    server.checks = False
    with pytest.raises(FileAccessError, match="does not check conditions"):
        open_store(bucket).write_bytes("a", b"text", if_absent=True)
    assert server.objects == {}


def test_the_first_write_says_that_the_real_service_was_never_tried(caplog: pytest.LogCaptureFixture) -> None:
    _google._warn_of_untested.cache_clear()
    for server in ("http://127.0.0.1:1", _google._REAL, _google._REAL):
        _google._warn_of_untested(server)
    assert [record.message for record in caplog.records] == [
        "writing to Google's storage was never tried on the real service: keep a copy of your files"
    ]
