"""HDF5 files in a store that is not ours, and that copies nothing by itself: whole, old or new, whatever fails."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import files
from nwbpipe.errors import ConflictError, DamagedFileError, FileAccessError, NwbpipeError, RequestError
from nwbpipe.files import _remote, _remote_transaction
from nwbpipe.stores import RangedFile, Store, open_store
from nwbpipe.testing import Fault, FaultyStore
from tests.files.helpers import child
from tests.fixtures.lab import LAB_URL

pytestmark = pytest.mark.usefixtures("lab_package")

URL = f"{LAB_URL}/sub-1/session.nwb"


@pytest.fixture
def data(tmp_path: Path, lab_package: Path) -> bytes:
    """The bytes of a file of some megabytes, which the store has at `URL`."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.random.default_rng(0).integers(0, 2**62, 500_000)
        file["small"] = np.arange(10)
    open_store(LAB_URL).put_file(tmp_path / "a.h5", "sub-1/session.nwb")
    return (tmp_path / "a.h5").read_bytes()


def stored() -> bytes:
    return open_store(LAB_URL).read_bytes("sub-1/session.nwb")


def change() -> None:
    with files.transaction(URL) as file:
        file["new"] = np.arange(300_000)
        del file["small"]


def require_whole() -> bool:
    """Fail unless the file is the old one or the new one; return True for the new one."""
    with files.open_remote(URL) as file:
        assert np.array_equal(file["raw"][()], np.random.default_rng(0).integers(0, 2**62, 500_000))
        if "new" not in file:
            assert np.array_equal(file["small"][()], np.arange(10))
            return False
        assert "small" not in file
        assert np.array_equal(file["new"][()], np.arange(300_000))
        return True


def use_faulty(monkeypatch: pytest.MonkeyPatch, at: int, fault: Fault, only: str = "") -> list[FaultyStore]:
    """Let transactions use a `FaultyStore`; return those that were made."""
    made: list[FaultyStore] = []

    def open_location(url: str) -> tuple[Store, str]:
        folder, _, name = str(url).rpartition("/")
        made.append(FaultyStore(open_store(folder), at=at, fault=fault, only=only))
        return made[-1], name

    monkeypatch.setattr(_remote_transaction, "open_location", open_location)
    return made


def test_a_change_is_committed_and_an_exception_changes_nothing(data: bytes) -> None:
    with pytest.raises(RuntimeError), files.transaction(URL) as file:  # noqa: PT012
        del file["raw"]
        raise RuntimeError
    assert stored() == data
    change()
    assert require_whole()


def test_a_store_that_is_lost_while_a_file_is_opened_leaves_nothing_open(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's bytes would be let go after Python's end, and HDF5 would crash there: exit code 139."""

    class Gone(RangedFile):
        def _request(self, start: int, stop: int) -> bytes:
            if start:
                raise FileAccessError("the store is lost")
            return super()._request(start, stop)

    monkeypatch.setattr(Store, "open_ranged", lambda store, path: Gone(store, path))
    file = open_store(LAB_URL).open_ranged("sub-1/session.nwb")
    assert file.size > 3 * 2**20
    with pytest.raises(FileAccessError, match="the store is lost"), files.transaction(URL):
        pass
    del file
    gc.collect()
    assert [item for item in gc.get_objects() if isinstance(item, Gone)] == []


def test_bytes_of_other_objects_stay_where_they_are(data: bytes) -> None:
    """A reader that streams through a commit relies on it."""
    change()
    new = stored()
    values = np.random.default_rng(0).integers(0, 2**62, 500_000).tobytes()
    assert new.index(values) == data.index(values)


def test_check_may_refuse(data: bytes) -> None:
    def check(finished: h5py.File) -> None:
        assert finished["x"][()] == 1
        raise ValueError

    with pytest.raises(ValueError), files.transaction(URL, check=check) as file:
        file["x"] = 1
    assert stored() == data


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.LOSE])
def test_whatever_fails_the_file_is_the_old_one_or_the_new(
    data: bytes, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    made = use_faulty(monkeypatch, 0, fault)
    change()
    count = len(made[0].operations)
    assert count >= 4
    for at in range(1, count + 1):
        open_store(LAB_URL).write_bytes("sub-1/session.nwb", data)
        use_faulty(monkeypatch, at, fault)
        error: NwbpipeError | None = None
        try:
            change()
        except NwbpipeError as raised:
            error = raised
        assert require_whole() == (error is None), (at, error)
        if error is not None:
            assert stored() == data


def test_only_the_answer_to_the_commit_was_lost(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    use_faulty(monkeypatch, 1, Fault.LOSE, "write_bytes")
    change()
    assert require_whole()


def test_a_store_that_breaks_its_contract_is_told_of(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    use_faulty(monkeypatch, 1, Fault.HALF, "write_bytes")
    with pytest.raises(FileAccessError, match="may or may not stand"):
        change()
    with pytest.raises(DamagedFileError), files.open_remote(URL):
        pass


def test_half_an_answer_is_never_read_as_data(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in (1, 2):  # the first block, and a later request
        store = FaultyStore(open_store(f"{LAB_URL}/sub-1"), at=at, fault=Fault.HALF, only="read_range")
        monkeypatch.setattr(_remote, "open_location", lambda url, store=store: (store, "session.nwb"))
        with pytest.raises(FileAccessError, match="less than was asked for"), files.open_remote(URL) as file:
            file["raw"][()]


def test_of_two_writers_one_is_told(data: bytes) -> None:
    with pytest.raises(ConflictError, match="another writer"), files.transaction(URL) as file:  # noqa: PT012
        file["late"] = 1
        with files.transaction(URL) as other:
            other["early"] = 1
    with files.open_remote(URL) as file:
        assert "early" in file
        assert "late" not in file


def test_many_processes_lose_nothing(data: bytes) -> None:
    outcomes: list[str] = []

    def work(name: str) -> None:
        script = f"""
            from nwbpipe.errors import ConflictError
            for attempt in range(60):
                try:
                    with transaction({URL!r}) as file:
                        file[{name!r}] = 1
                    print("done")
                    break
                except ConflictError:
                    continue
        """
        with child(script) as process:
            assert process.stdout is not None
            outcomes.append(process.stdout.read().strip())

    threads = [threading.Thread(target=work, args=(f"writer{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["done"] * 3
    with files.open_remote(URL) as file:
        assert [name for name in file if name.startswith("writer")] == ["writer0", "writer1", "writer2"]


def test_an_nwb_file_is_updated_on_the_newer_state(session_nwb: Path, lab_package: Path) -> None:
    open_store(LAB_URL).put_file(session_nwb, "sub-1/session.nwb")
    calls: list[list[str]] = []

    def add(nwbfile: object) -> None:
        calls.append(sorted(nwbfile.processing))  # type: ignore[attr-defined]
        if len(calls) == 1:
            with nwbpipe.transaction(URL) as other:
                other.create_processing_module("ophys", "another writer's")
        nwbfile.create_processing_module("behavior", "ours")  # type: ignore[attr-defined]

    nwbpipe.update(URL, add)
    assert calls == [[], ["ophys"]]
    with nwbpipe.read(URL) as nwbfile:
        assert sorted(nwbfile.processing) == ["behavior", "ophys"]


def test_a_store_without_conditional_writes_is_refused_before_any_work() -> None:
    with pytest.raises(RequestError, match="not changed"), files.transaction("http://127.0.0.1:9/a/b.nwb"):
        pytest.fail("the block must not run")


def test_an_upload_replaces_what_its_writer_knows_of(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(ConflictError):
        files.upload_file(path, URL)
    tag = files.upload_file(path, URL, replaces=files.read_remote_state(URL).etag)
    assert files.read_remote_state(URL).etag == tag
    assert files.upload_file(path, f"{LAB_URL}/new.nwb")


def test_a_tool_reads_one_version_while_others_commit(data: bytes) -> None:
    with files.cache_for_tool(URL) as cached:
        change()
        assert cached.read_at(len(data), 0) == data
