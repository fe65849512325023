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
from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.project.state import Leases
from nwbpipe.run import process
from nwbpipe.stores import Store, _google, _objects, open_store
from nwbpipe.testing import StoreTests
from tests.fixtures.google import GoogleServer, serve_google
from tests.fixtures.processing import Scale

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


def test_a_step_runs_on_a_session_at_google(bucket: str, session_nwb: Path) -> None:
    url = f"{bucket}/s.nwb"
    open_store(bucket).put_file(session_nwb, "s.nwb", if_absent=True)
    assert process(url, Scale()).computed
    assert not process(url, Scale()).computed
    with nwbpipe.read(url) as nwbfile:
        assert (
            nwbfile.processing["behavior"]["Scaled_scale"].data[:] == 2 * nwbfile.acquisition["lever"].data[:]
        ).all()


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


def test_a_commit_meets_another_writer(bucket: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = range(1000)
    open_store(bucket).put_file(tmp_path / "a.h5", "a.h5")
    with pytest.raises(ConflictError), nwbpipe.files.transaction(f"{bucket}/a.h5") as file:  # noqa: PT012
        file["y"] = 1
        with nwbpipe.files.transaction(f"{bucket}/a.h5") as other:
            other["z"] = 1
    with nwbpipe.files.open_remote(f"{bucket}/a.h5") as file:
        assert set(file) == {"x", "z"}


class Lost:
    """Lets the n-th request and those after it fail: before they are sent, or the first of them after it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import requests

        self.count, self.first, self.is_carried_out = 0, 10**9, False
        send = requests.Session.request

        def fail(session: Any, method: str, url: str, *values: Any, **options: Any) -> Any:
            # A thread of the client's asks about the bucket at times of its own.
            self.count += "/o" in urlsplit(url).path
            if self.count < self.first or "/o" not in urlsplit(url).path:
                return send(session, method, url, *values, **options)
            if self.count == self.first and self.is_carried_out:
                send(session, method, url, *values, **options)
                raise requests.ConnectionError("the answer is lost")
            raise requests.ConnectionError("the server can't be reached")

        monkeypatch.setattr(requests.Session, "request", fail)
        monkeypatch.setattr(_google, "_DEADLINE_S", 0.0)


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_wherever_the_service_is_lost_the_file_is_old_or_new(
    is_carried_out: bool, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(bucket)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = range(1000)
    url = f"{bucket}/a.h5"
    store.write_bytes("b", b"", if_absent=True)  # the server is asked once whether it checks conditions
    lost = Lost(monkeypatch)
    states, errors = set(), []
    for first in range(1, 40):
        store.put_file(tmp_path / "a.h5", "a.h5")
        lost.count, lost.first, lost.is_carried_out = 0, first, is_carried_out
        ended = True
        try:
            with nwbpipe.files.transaction(url) as file:
                file["y"] = 1
        except NwbpipeError as error:
            ended = False
            errors.append(error)
        requests, lost.first = lost.count, 10**9
        with nwbpipe.files.open_remote(url) as file:
            assert list(file["x"]) == list(range(1000))
            states.add((ended, "y" in file))
            assert "y" in file or not ended
        if requests < first:
            break
    assert requests < first, "a commit has more requests than were tried"
    assert {type(error) for error in errors} == {FileAccessError}
    assert {(False, False), (True, True)} <= states
    assert ((False, True) in states) == is_carried_out  # it stands, and the error says that this is not known


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
