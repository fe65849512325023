"""A file of a store, read by ranges through blocks in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.stores import RangedFile, RangeReader, open_store
from nwbpipe.stores._ranged import _AT_ONCE, _BLOCKS, BLOCK


class Counting(RangedFile):
    """Notes what is asked for."""

    asked: list[tuple[int, int]]

    def fetch(self, start: int, stop: int) -> bytes:
        self.asked.append((start, stop))
        return super().fetch(start, stop)


@pytest.fixture
def large(tmp_path: Path) -> Counting:
    """A file of five times what one request fetches, and some bytes."""
    (tmp_path / "video.bin").write_bytes(bytes(range(256)) * (5 * _AT_ONCE * BLOCK // 256) + b"end")
    file = Counting(open_store(str(tmp_path)), "video.bin")
    file.asked = []
    return file


@pytest.mark.parametrize(("ahead", "requests"), [(False, 81), (True, 6)])
def test_what_is_read_in_order_is_read_ahead(large: Counting, ahead: bool, requests: int) -> None:
    large.reads_ahead = ahead
    reader, size = RangeReader(large), 0
    while piece := reader.read(1_000_000):
        assert piece == (bytes(range(256)) * 4000)[size % 256 :][: len(piece)] or piece.endswith(b"end")
        size += len(piece)
    assert size == large.size
    assert len(large.asked) == requests
    assert max(stop - start for start, stop in large.asked) <= _AT_ONCE * BLOCK
    assert len(large._blocks) <= _BLOCKS


def test_what_was_read_to_its_end_leaves_one_block_in_memory(large: Counting) -> None:
    large.reads_ahead = True
    reader = RangeReader(large)
    while reader.read(1_000_000):
        pass
    assert len(large._blocks) == 1


def test_a_read_elsewhere_fetches_its_own_blocks_alone(large: Counting) -> None:
    large.reads_ahead = True
    for number in (30, 3, 60):
        assert large.read_at(4, number * BLOCK) == b"\x00\x01\x02\x03"
    assert large.asked == [(number * BLOCK, (number + 1) * BLOCK) for number in (30, 3, 60)]
