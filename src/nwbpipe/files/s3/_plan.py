"""Plan the parts of an upload: those that the server copies from the old object, and those that are sent.

Amazon's limits: parts of 5 MiB (but for the last) to 5 GiB, at most 10,000 of them. The last number is kept for the
mark of `_iter_orphans`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nwbpipe.stores import UploadPart, divide_part

SMALLEST = 5 * 2**20
LARGEST = 5 * 2**30
MOST = 9_999
SENT = 12 * 2**20  # of a part that is sent, where there are not too many; half of it is above `SMALLEST`
COPIED = 512 * 2**20  # of a part that is copied: several go in parallel


def plan_parts(old_end: int, new_end: int, changed: Iterable[tuple[int, int]]) -> list[UploadPart]:
    """Divide a new object into parts.

    Parameters
    ----------
    old_end, new_end : int
        Sizes of the old and of the new object; the new one is not empty.
    changed : iterable of (start, stop)
        Where they differ below both ends: in order, not overlapping.

    Returns
    -------
    list of Part
        In order; each byte is in one of them.

    Raises
    ------
    ValueError
        If the object is too large for S3.

    Examples
    --------
    >>> plan(2**30, 2**30 + 2**25, [(0, 2**16)])[0]
    Part(start=0, stop=5242880, copied=False)
    """
    if not 0 < new_end < (MOST - 1) * LARGEST:
        raise ValueError("not a size that an object of S3 can have")
    dirty = list(changed)
    if new_end > old_end:
        dirty.append((old_end, new_end))
    shortest = SMALLEST  # stretches that are shorter are not copied
    while True:
        stretches = list(_iter_stretches(new_end, dirty, shortest))
        parts = _divide_stretches(stretches)
        if parts is not None:
            return parts
        shortest *= 2


def _iter_stretches(end: int, dirty: list[tuple[int, int]], shortest: int) -> Iterator[UploadPart]:
    """Alternate what is copied and what is sent; each is long enough to be a part, but for the last."""
    position = 0  # all before it is divided
    index = 0
    while index < len(dirty):
        start, stop = dirty[index]
        if start - position < shortest:
            start = position
        else:
            yield UploadPart(position, start, copied=True)
        while True:  # take in what is too near to leave something to copy between
            stop = max(stop, min(start + SMALLEST, end))
            index += 1
            if index == len(dirty) or dirty[index][0] - stop >= shortest:
                break
            stop = max(stop, dirty[index][1])
        if end - stop < shortest:
            stop = end
        yield UploadPart(start, stop, copied=False)
        position = stop
    if position < end:
        yield UploadPart(position, end, copied=end - position >= SMALLEST)


def _divide_stretches(stretches: list[UploadPart]) -> list[UploadPart] | None:
    """Cut stretches into parts; None if there are too many."""
    copied = sum(span.size for span in stretches if span.copied)
    sent = sum(span.size for span in stretches if not span.copied)
    copy_size = min(max(COPIED, -(-copied // (MOST // 2))), LARGEST)
    copies = sum(-(-span.size // copy_size) for span in stretches if span.copied)
    free = MOST - copies - sum(not span.copied for span in stretches)
    if free <= 0:
        return None
    sent_size = max(SENT, -(-sent // free))
    if sent_size > LARGEST:
        return None
    return [part for span in stretches for part in divide_part(span, copy_size if span.copied else sent_size)]
