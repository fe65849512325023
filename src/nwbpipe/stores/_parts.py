"""The parts of a new version of a file: what a store takes from the old version, and what is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UploadPart:
    """One part of a new version.

    Attributes
    ----------
    start, stop : int
        Its bytes.
    copied : bool
        Whether the store takes them from the same place of the old version.
    """

    start: int
    stop: int
    copied: bool

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.stop - self.start


@dataclass(frozen=True)
class FileChanges:
    """A new version of a file, as what differs from the old one.

    Attributes
    ----------
    old_size, size : int
        Bytes of the old version and of the new one.
    changed : sequence of (start, stop)
        Where they differ below both ends: in order, not overlapping.
    read : callable
        Returns `size` bytes of the new version from `offset` on: ``read(offset, size)``.
    """

    old_size: int
    size: int
    changed: Sequence[tuple[int, int]]
    read: Callable[[int, int], bytes]

    def list_dirty(self) -> list[tuple[int, int]]:
        """Return the ranges that are sent: what changed, and what was added."""
        added = [(self.old_size, self.size)] if self.size > self.old_size else []
        return [*self.changed, *added]

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes of the new version from `offset` on."""
        return self.read(offset, max(min(size, self.size - offset), 0))


def divide_part(part: UploadPart, size: int) -> Iterator[UploadPart]:
    """Cut a part into equal ones of at most `size`, each of at least half of it if there are several."""
    count = -(-part.size // size)
    for number in range(count):
        start = part.start + part.size * number // count
        yield UploadPart(start, part.start + part.size * (number + 1) // count, part.copied)


def plan_blocks(blocks: Sequence[int], changes: FileChanges, length: int) -> list[UploadPart]:
    """Divide a new version into blocks of the old one that did not change, and new ones.

    Parameters
    ----------
    blocks : sequence of int
        Sizes of the old version's blocks, in order.
    changes : FileChanges
    length : int
        Largest size of a new block.

    Returns
    -------
    list of UploadPart
        In order; each byte is in one of them. A copied one is a whole old block.

    Examples
    --------
    >>> changes = FileChanges(30, 35, [(12, 13)], bytes)
    >>> [(part.start, part.stop, part.copied) for part in plan_blocks([10, 10, 10], changes, 10)]
    [(0, 10, True), (10, 20, False), (20, 30, True), (30, 35, False)]
    """
    parts: list[UploadPart] = []
    dirty, sent, start = changes.list_dirty(), 0, 0  # all from `sent` to `start` is sent
    for size in blocks:
        stop = start + size
        while dirty and dirty[0][1] <= start:
            dirty.pop(0)
        if stop <= changes.size and not (dirty and dirty[0][0] < stop):
            parts += [
                *divide_part(UploadPart(sent, start, copied=False), length),
                UploadPart(start, stop, copied=True),
            ]
            sent = stop
        start = stop
    return [*parts, *divide_part(UploadPart(sent, changes.size, copied=False), length)]
