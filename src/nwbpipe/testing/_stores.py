"""The contract of a store, as tests that a class of your own inherits."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.files import open_remote, transaction
from nwbpipe.stores import Store, is_remote

_NAMES = [".hidden/b.yaml", "a.yaml", "m1/s1/session.yaml", "m1/s2/session.yaml", "m1/s2/x.nwb", "m10/session.yaml"]
_OUTSIDE = ("../x", "a/../../x", "/etc/passwd", "", ".", "a\0b", "..", "a\\..\\b", "C:/x")


class StoreTests(ABC):
    """Hold a store to the contract of `nwbpipe.stores.Store`.

    Inherit, and offer the fixture `store`: an empty store for each test.

    Examples
    --------
    >>> class TestLabStore(StoreTests):
    ...     @pytest.fixture
    ...     def store(self, tmp_path):
    ...         return LabStore(f"lab://{tmp_path}/files")
    """

    @abstractmethod
    def store(self) -> Store:
        """Return an empty store; a pytest fixture."""

    @pytest.fixture
    def conditional(self, store: Store) -> Store:
        """The store, if it has conditional writes; else the test is skipped."""
        if not store.conditional_writes:
            pytest.skip("the store has no conditional writes")
        return store

    def test_a_file_is_written_read_replaced_and_removed(self, store: Store) -> None:
        assert list(store.list()) == []
        assert not store.exists("a/b.txt")
        tag = store.write_bytes("a/b.txt", b"text")
        assert store.exists("a/b.txt")
        assert store.exists("a")  # a folder
        assert not store.exists("a/b")
        assert store.read_bytes("a/b.txt") == b"text"
        entry = store.stat("a/b.txt")
        assert (entry.path, entry.size, entry.tag) == ("a/b.txt", 4, tag)
        assert entry.modified is None or entry.modified.tzinfo is not None
        assert store.write_bytes("a/b.txt", b"other") != tag
        assert store.read_bytes("a/b.txt") == b"other"
        store.write_bytes("a/empty", b"")
        assert store.read_bytes("a/empty") == b""
        for _ in range(2):  # the second time nothing is left to remove
            store.remove("a/b.txt")
        assert not store.exists("a/b.txt")

    def test_a_missing_file_is_named(self, store: Store) -> None:
        for call in (store.read_bytes, store.stat, store.open, store.open_ranged):
            with pytest.raises(FileAccessError) as caught:
                call("nothing.txt")
            assert "nothing.txt" in str(caught.value)

    def test_files_are_listed_in_order(self, store: Store) -> None:
        for name in reversed(_NAMES):
            store.write_bytes(name, name.encode())
        assert [entry.path for entry in store.list()] == _NAMES
        assert [entry.path for entry in store.list("m1")] == [name for name in _NAMES if name.startswith("m1/")]
        assert [entry.path for entry in store.list(deep=False)] == ["a.yaml"]
        assert [entry.path for entry in store.list("m1/s2", deep=False)] == ["m1/s2/session.yaml", "m1/s2/x.nwb"]
        assert list(store.list("nothing")) == []
        assert {entry.path: (entry.size, entry.tag) for entry in store.list()} == {
            name: (store.stat(name).size, store.stat(name).tag) for name in _NAMES
        }

    @pytest.mark.parametrize(
        ("pattern", "paths"),
        [
            ("**/session.yaml", ["m1/s1/session.yaml", "m1/s2/session.yaml", "m10/session.yaml"]),
            ("m1/*/session.yaml", ["m1/s1/session.yaml", "m1/s2/session.yaml"]),
            ("*.yaml", ["a.yaml"]),
            ("**", _NAMES[1:]),
            ("m1/s?/x.*", ["m1/s2/x.nwb"]),
            (".hidden/*.yaml", [".hidden/b.yaml"]),
            ("m1/[st]1/*", ["m1/s1/session.yaml"]),
            ("m1/s[!2]/*", ["m1/s1/session.yaml"]),
            ("**/s2/**/x.nwb", ["m1/s2/x.nwb"]),
        ],
    )
    def test_patterns(self, store: Store, pattern: str, paths: list[str]) -> None:
        for name in _NAMES:
            store.write_bytes(name, name.encode())
        assert [entry.path for entry in store.glob(pattern)] == paths

    def test_no_path_leads_out(self, store: Store) -> None:
        for path in _OUTSIDE:
            for call in (store.read_bytes, store.exists, store.stat, store.open, store.remove, store.local_path):
                with pytest.raises(RequestError):
                    call(path)
            with pytest.raises(RequestError):
                store.write_bytes(path, b"")
        for path in ("..", "/etc"):
            with pytest.raises(RequestError):
                list(store.list(path))

    def test_ranges_are_those_of_one_version(self, store: Store) -> None:
        data = bytes(range(256)) * 20_000
        tag = store.write_bytes("data.bin", data)
        assert store.read_range("data.bin", 1_000_003, 1_000_010) == data[1_000_003:1_000_010]
        assert store.read_range("data.bin", 5, 9, if_tag=tag) == data[5:9]
        assert store.read_range("data.bin", len(data) - 2, len(data) + 9) == data[-2:]
        file = store.open_ranged("data.bin")
        assert (file.size, file.tag) == (len(data), tag)
        assert file.fetch(100, 200) == data[100:200]
        store.write_bytes("data.bin", data[::-1])
        with pytest.raises(ConflictError):
            file.fetch(0, 10)
        with pytest.raises(ConflictError):
            store.read_range("data.bin", 5, 9, if_tag=tag)

    def test_hdf5_is_read_where_it_lies(self, store: Store, tmp_path: Path) -> None:
        path, values = tmp_path / "kit-data.h5", np.arange(500_000)
        with h5py.File(path, "w") as file:
            file["x"] = values
        tag = store.put_file(path, "deep/data.h5")
        assert store.stat("deep/data.h5").tag == tag
        with store.open("deep/data.h5") as raw, h5py.File(raw, "r") as file:
            assert (file["x"][100_000:100_010] == values[100_000:100_010]).all()
        with store.open("deep/data.h5") as raw:
            raw.seek(-5, os.SEEK_END)
            assert raw.read() == path.read_bytes()[-5:]
            raw.seek(0)
            assert raw.read() == path.read_bytes()

    # Conditions -----------------------------------------------------------------------------------------

    def test_conditions_are_refused_where_they_are_not_kept(self, store: Store) -> None:
        if store.conditional_writes:
            pytest.skip("the store has conditional writes")
        tag = store.write_bytes("lease", b"one")
        for call in (
            lambda: store.write_bytes("lease", b"two", if_tag=tag),
            lambda: store.remove("lease", if_tag=tag),
        ):
            with pytest.raises(RequestError):
                call()
        assert store.read_bytes("lease") == b"one"

    def test_if_absent_and_if_tag(self, conditional: Store, tmp_path: Path) -> None:
        store = conditional
        first = store.write_bytes("lease", b"one", if_absent=True)
        with pytest.raises(ConflictError):
            store.write_bytes("lease", b"two", if_absent=True)
        assert store.read_bytes("lease") == b"one"
        second = store.write_bytes("lease", b"two", if_tag=first)
        (tmp_path / "kit-three").write_bytes(b"three")
        with pytest.raises(ConflictError):
            store.write_bytes("lease", b"three", if_tag=first)
        with pytest.raises(ConflictError):
            store.put_file(tmp_path / "kit-three", "lease", if_tag=first)
        with pytest.raises(ConflictError):
            store.put_file(tmp_path / "kit-three", "lease", if_absent=True)
        with pytest.raises(ConflictError):
            store.remove("lease", if_tag=first)
        assert store.read_bytes("lease") == b"two"
        for _ in range(2):  # the second time nothing is left to remove
            store.remove("lease", if_tag=second)
        with pytest.raises(ConflictError):
            store.write_bytes("lease", b"four", if_tag=second)
        with pytest.raises(RequestError):
            store.write_bytes("lease", b"five", if_absent=True, if_tag=second)
        assert not store.exists("lease")

    def test_of_several_writers_one_succeeds(self, conditional: Store) -> None:
        winners: list[int] = []

        def claim(number: int) -> None:
            try:
                conditional.write_bytes("lease", str(number).encode(), if_absent=True)
            except ConflictError:
                return
            winners.append(number)

        _run_threads(claim, 8)
        assert len(winners) == 1
        assert conditional.read_bytes("lease") == str(winners[0]).encode()

    def test_a_counter_loses_no_step(self, conditional: Store) -> None:
        conditional.write_bytes("counter", b"0")

        def count(_: int) -> None:
            steps = 0
            while steps < 3:
                try:
                    tag = conditional.stat("counter").tag
                    value = int(conditional.read_bytes("counter"))
                    conditional.write_bytes("counter", str(value + 1).encode(), if_tag=tag)
                except ConflictError:
                    continue
                steps += 1

        _run_threads(count, 4)
        assert conditional.read_bytes("counter") == b"12"

    # Session files --------------------------------------------------------------------------------------

    def test_an_hdf5_file_is_changed_as_a_whole(self, conditional: Store, tmp_path: Path) -> None:
        path = tmp_path / "kit-data.h5"
        with h5py.File(path, "w") as file:
            file["x"] = np.arange(1000)
        conditional.put_file(path, "a.h5")
        url = conditional.location("a.h5")
        if not is_remote(url):
            pytest.skip("a local file: tests/files has its tests")
        with transaction(url) as file:
            file["y"] = np.arange(10)
        with open_remote(url) as file:
            assert (sorted(file), file["y"][3]) == (["x", "y"], 3)
        old_content = conditional.read_bytes("a.h5")
        with pytest.raises(ZeroDivisionError), transaction(url) as file:  # noqa: PT012
            del file["x"]
            _ = 1 / 0
        with pytest.raises(ConflictError), transaction(url) as file:  # noqa: PT012
            file["late"] = 1
            with transaction(url) as other_file:
                other_file["early"] = 1
        assert conditional.read_bytes("a.h5") != old_content
        with open_remote(url) as file:
            assert sorted(file) == ["early", "x", "y"]


def _run_threads(work: Callable[[int], None], count: int) -> None:
    """Call ``work(number)`` in several threads at once; fail if any of them fails."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
