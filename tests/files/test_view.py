"""A view reads and writes like a file, and the file stays as it is."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwbpipe.files._view import View

PAGE = 16

steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 300), st.binary(max_size=100)),
    st.tuples(st.just("truncate"), st.integers(0, 300), st.just(b"")),
    st.tuples(st.just("read"), st.integers(0, 300), st.binary(max_size=100)),
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.lists(steps, max_size=30), st.integers(1, 8))
def test_it_is_a_file_to_its_user(old: bytes, todo: list[tuple[str, int, bytes]], pages: int) -> None:
    """Against `io.BytesIO`, with a memory of a few pages; and its changes, put into the old file, make the new."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(old)
        descriptor = os.open(path, os.O_RDONLY)
        view, model = View(descriptor, Path(folder), page=PAGE, memory=pages * PAGE), io.BytesIO(old)
        for what, place, data in todo:
            if what == "truncate":
                view.truncate(place)
                size = len(model.getvalue())
                model.truncate(place)
                model.seek(size)
                model.write(bytes(max(place - size, 0)))  # a file grows, a BytesIO does not
                continue
            view.seek(place)
            model.seek(place)
            if what == "write":
                if not data:
                    continue
                assert view.write(memoryview(data)) == model.write(data)
            else:
                buffer = bytearray(len(data))
                count = view.readinto(memoryview(buffer))
                assert buffer[:count] == model.read(len(data))
        new = model.getvalue()
        assert (view.read_new(0, len(new) + 10), view.new_end) == (new, len(new))
        made = bytearray(old[: len(new)]) + bytes(max(len(new) - len(old), 0))
        for offset, data in (*view.changed_pages(), *view.tail()):
            assert data == new[offset : offset + len(data)]
            made[offset : offset + len(data)] = data
        assert made == new
        assert path.read_bytes() == old
        view.close()
        os.close(descriptor)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.zeros(1_000_000)
    descriptor = os.open(path, os.O_RDONLY)
    yield path, descriptor
    os.close(descriptor)


def test_few_pages_below_the_old_end_change(session: tuple[Path, int]) -> None:
    path, descriptor = session
    view = View(descriptor, path.parent)
    with h5py.File(path, "r+", driver="fileobj", fileobj=view) as file:
        file["result"] = np.random.default_rng(0).normal(size=1_000_000)
    assert len(list(view.changed_pages())) <= 3
    assert 8_000_000 <= sum(len(data) for _, data in view.tail()) <= 8_200_000
    view.close()


def test_memory_stays_bounded(session: tuple[Path, int]) -> None:
    path, descriptor = session
    view = View(descriptor, path.parent, memory=2**20)
    with h5py.File(path, "r+", driver="fileobj", fileobj=view) as file:
        for number in range(10):
            file[f"result{number}"] = np.full(500_000, number)
    assert sum(len(page) for page in view._pages.values()) <= 2**20
    assert [one.name for one in path.parent.iterdir()] == [path.name], "the spill file has no name"
    with h5py.File(path, "r", driver="fileobj", fileobj=view) as file:
        for number in range(10):
            assert (file[f"result{number}"][()] == number).all()
    view.close()


def test_no_space_for_the_spill_file_is_said_once_and_kept(
    session: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, descriptor = session
    view = View(descriptor, path.parent, memory=2**20)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(view, "_store", full)
    file = h5py.File(path, "r+", driver="fileobj", fileobj=view)
    with pytest.raises(OSError, match="No space"):
        file["result"] = np.zeros(1_000_000)
    file.close()
    assert view.failure is not None
    view.close()
