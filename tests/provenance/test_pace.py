"""A large raw file is read from the disk once: its hash keeps pace with the conversion."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from nwbpipe import convert
from nwbpipe.provenance import ReadingPace, _pace
from nwbpipe.provenance._files import hash_file
from tests.converters.raw import SESSION, SUBJECT

MB = 2**20


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.bin"
    path.write_bytes(np.random.default_rng(0).bytes(96 * MB + 5))
    return path


class Cache:
    """Stands in for the page cache: it holds the last MB that the conversion has read."""

    def __init__(self, pace: ReadingPace, size: int, held: int = 64) -> None:
        self.pace, self.size, self.held = pace, size, held * MB
        self.reads_on = False
        self.dropped = 0  # times that the hash met what the conversion has read and the cache dropped

    def is_cached(self, offset: int) -> bool:
        front = self.pace._converted
        end = min(offset + _pace.BLOCK + _pace._BEHIND, self.size)
        return end <= front and offset >= front - self.held

    def measure_front(self, offset: int) -> int:
        front = self.pace._converted
        is_dropped = offset < front - self.held
        self.dropped += is_dropped
        return front - offset if is_dropped else 0


def use_cache(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    @contextmanager
    def open_cache(file: BufferedReader) -> Iterator[Cache]:
        yield cache

    monkeypatch.setattr(_pace, "_open_residency", open_cache)


def start_hash(raw: Path, pace: ReadingPace, values: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: values.append(hash_file(raw, pace)))
    thread.start()
    return thread


def test_the_hash_follows_the_conversion_and_the_conversion_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, raw: Path
) -> None:
    pace, values = ReadingPace(), list[str]()
    cache = Cache(pace, raw.stat().st_size)
    use_cache(monkeypatch, cache)
    lags = []
    plain = ReadingPace.iter_blocks

    def iter_slowly(self: ReadingPace, file: BufferedReader) -> Iterator[memoryview]:
        for block in plain(self, file):
            lags.append(self._converted - self._hashed)
            time.sleep(0.0006)
            yield block

    monkeypatch.setattr(ReadingPace, "iter_blocks", iter_slowly)
    thread = start_hash(raw, pace, values)
    while pace._caught_up is None:
        time.sleep(0.001)
    for _ in range(48):
        pace.advance(2 * MB)
    pace.advance(5)
    pace.end()
    thread.join()
    assert values == [hashlib.sha256(raw.read_bytes()).hexdigest()]
    assert min(lags) >= 0, "the hash read ahead"
    assert max(lags) <= 60 * MB, "the conversion ran away"


def test_the_hash_reads_by_itself_what_the_conversion_does_not_read(
    monkeypatch: pytest.MonkeyPatch, raw: Path
) -> None:
    pace, values = ReadingPace(), list[str]()
    cache = Cache(pace, raw.stat().st_size)
    monkeypatch.setattr(cache, "is_cached", lambda offset: False)
    use_cache(monkeypatch, cache)
    thread = start_hash(raw, pace, values)
    while thread.is_alive():  # another file
        pace.advance(8 * MB)
        time.sleep(0.001)
    assert not pace._has_ended
    assert values == [hashlib.sha256(raw.read_bytes()).hexdigest()]


def test_the_hash_waits_for_no_conversion_that_has_ended(monkeypatch: pytest.MonkeyPatch, raw: Path) -> None:
    pace = ReadingPace()
    cache = Cache(pace, raw.stat().st_size)
    monkeypatch.setattr(cache, "is_cached", lambda offset: False)
    use_cache(monkeypatch, cache)
    pace.end()
    assert hash_file(raw, pace) == hash_file(raw)


def test_what_the_cache_has_dropped_is_read_again_at_once_and_the_conversion_waits(
    monkeypatch: pytest.MonkeyPatch, raw: Path
) -> None:
    """The hash begins late, in a cache that holds little: it must not fall back again and again."""
    pace, values = ReadingPace(), list[str]()
    cache = Cache(pace, raw.stat().st_size, held=44)
    use_cache(monkeypatch, cache)
    pace.advance(64 * MB)
    monkeypatch.setattr(_pace, "_PATIENCE_S", 600.0)
    thread = start_hash(raw, pace, values)
    while not pace._hashed:
        time.sleep(0.001)
    for _ in range(16):
        pace.advance(2 * MB)
    assert cache.dropped <= 12
    assert pace._hashed >= 48 * MB, "the conversion did not wait"
    pace.end()
    thread.join()
    assert values == [hashlib.sha256(raw.read_bytes()).hexdigest()]


@pytest.fixture
def dropped(raw: Path) -> Iterator[int]:
    """A descriptor of the raw file, of which nothing is in the cache."""
    if sys.platform != "linux":
        pytest.skip("asks Linux what is in its page cache")
    descriptor = os.open(raw, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with raw.open("rb") as file, _pace._open_residency(file) as residency:
            if residency is None or residency.is_cached(0):
                pytest.skip("this file system keeps what it was asked to drop")
        yield descriptor
    finally:
        os.close(descriptor)


def test_pages_that_were_dropped_are_told_from_those_that_were_not_read_yet(raw: Path, dropped: int) -> None:
    with raw.open("rb") as file, _pace._open_residency(file) as residency:
        assert residency is not None
        assert residency.measure_front(0) == 0
        os.pread(dropped, 4 * MB, 4 * MB)  # near: it may be what the system reads ahead
        assert residency.measure_front(0) == 0
        os.pread(dropped, MB, 60 * MB)
        assert 61 * MB <= residency.measure_front(0) + os.sysconf("SC_PAGESIZE") <= 70 * MB
        assert residency.measure_front(64 * MB) == 0
        assert residency.is_cached(raw.stat().st_size)


def test_the_disk_delivers_nothing_for_the_hash(raw: Path, dropped: int) -> None:
    pace, delivered = ReadingPace(), []

    def count() -> int:
        lines = Path(f"/proc/self/task/{threading.get_native_id()}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))

    def measure() -> None:
        before = count()
        hash_file(raw, pace)
        delivered.append(count() - before)

    thread = threading.Thread(target=measure)
    thread.start()
    for offset in range(0, raw.stat().st_size, 4 * MB):
        time.sleep(0.02)
        pace.advance(len(os.pread(dropped, 4 * MB, offset)))
    pace.end()
    thread.join()
    assert delivered[0] <= raw.stat().st_size // 10


def test_a_file_that_is_empty_or_in_the_cache_is_hashed_at_once(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"x", b"x" * (5 * MB))):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert hash_file(path, ReadingPace()) == hashlib.sha256(content).hexdigest()


def test_a_conversion_tells_the_hash_what_it_has_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    movie = np.random.default_rng(0).integers(0, 500, (100, 128, 128), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "movie.tif", movie)
    arguments = {"file_path": "movie.tif", "sampling_frequency": 30.0}
    sources = {"movie": {"interface": "TiffImagingInterface", "args": arguments}}
    spec = tmp_path / "session.yaml"
    spec.write_text(yaml.safe_dump({"nwbpipe": 1, "subject": SUBJECT, "session": SESSION, "sources": sources}))
    hashed, counts = [], []
    monkeypatch.setattr(ReadingPace, "advance", lambda self, count: counts.append(count))
    plain = ReadingPace.iter_blocks

    def iter_and_note(self: ReadingPace, file: BufferedReader) -> Iterator[memoryview]:
        hashed.append(os.fstat(file.fileno()).st_size)
        return plain(self, file)

    monkeypatch.setattr(ReadingPace, "iter_blocks", iter_and_note)
    convert(spec, tmp_path / "out.nwb", progress=False)
    assert sum(counts) == movie.nbytes
    assert (tmp_path / "movie.tif").stat().st_size in hashed
