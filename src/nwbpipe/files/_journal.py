"""The journal of a commit: a file beside the target that says what the target will be.

::

    header    magic, inode of the target, its old and new size, where its superblock lies,
              SHA-256 of the superblock (less its signature) before and after, SHA-256 of this header
    pages     offset, length, SHA-256 before and after, and bytes of each changed page below the smaller size
    seal      magic, number of pages, SHA-256 of all that stands before

It is written in two steps. The header alone means: a commit began, the target may have a longer tail, cut it off.
With a good seal it means: the commit stands, finish it. The target's inode, not its device, is part of the
identity: after a power failure the same disk may come back under another device number.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.errors import DamagedFileError
from nwbpipe.files._os import System, write_all

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SEARCHED_BYTES = 2**20  # of a file of any kind, in which the signature is looked for
SUPERBLOCK = 96  # bytes that are looked at, from the signature on: within one sector of the disk
_MAGIC = b"NWBPIPE1"
_SEAL = b"SEALED.1"
_HEADER = struct.Struct("<8sQQQQ32s32s")
_PAGE = struct.Struct("<QQ32s32s")
_END = struct.Struct("<8sQ")
_DIGEST = 32
HEADER_SIZE = _HEADER.size + _DIGEST


def journal_path(target: Path) -> Path:
    """Return the path of the journal of `target`. It exists only during a commit or after an interrupted one."""
    return target.with_name(f".{target.name}.journal")


def find_superblock(start: bytes) -> int | None:
    """Offset of HDF5's superblock in the first bytes of a file: 0, or 512, 1024, … after a user block."""
    offset = 0
    while offset + len(SIGNATURE) <= len(start):
        if start[offset : offset + len(SIGNATURE)] == SIGNATURE:
            return offset
        offset = max(512, offset * 2)
    return None


def superblock_digest(block: bytes) -> bytes:
    """SHA-256 of a superblock less its signature."""
    return hashlib.sha256(block[len(SIGNATURE) : SUPERBLOCK]).digest()


@dataclass(frozen=True)
class JournalHeader:
    """Header of a journal: the file's inode, and its size and superblock before and after the commit."""

    inode: int
    old_end: int
    new_end: int
    superblock: int
    before: bytes
    after: bytes

    def pack(self) -> bytes:
        """Return the bytes, with their digest."""
        fields = (self.inode, self.old_end, self.new_end, self.superblock, self.before, self.after)
        data = _HEADER.pack(_MAGIC, *fields)
        return data + hashlib.sha256(data).digest()


@dataclass(frozen=True)
class JournalPage:
    """A page of the journal: where it belongs, where its bytes stand, digests of what was there and will be."""

    offset: int
    length: int
    source: int
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Journal:
    """A journal that was read: its header is good; `sealed` says whether all of it is."""

    header: JournalHeader
    sealed: bool
    pages: tuple[JournalPage, ...]


def write_header(system: System, descriptor: int, header: JournalHeader) -> None:
    """Begin a journal."""
    write_all(system, descriptor, header.pack(), 0)


def write_pages(
    system: System, descriptor: int, header: JournalHeader, pages: Iterable[tuple[int, bytes, bytes]]
) -> None:
    """Write the pages, given as (offset, old bytes, new bytes), and the seal."""
    hasher = hashlib.sha256(header.pack())
    position, count = HEADER_SIZE, 0
    for offset, old, data in pages:
        head = _PAGE.pack(offset, len(data), hashlib.sha256(old).digest(), hashlib.sha256(data).digest())
        for part in (head, data):
            hasher.update(part)
            write_all(system, descriptor, part, position)
            position += len(part)
        count += 1
    end = _END.pack(_SEAL, count)
    hasher.update(end)
    write_all(system, descriptor, end + hasher.digest(), position)


def read_journal(system: System, descriptor: int, target: Path) -> Journal | None:
    """Read and verify a journal; None if it was not even begun.

    Raises
    ------
    DamagedFileError
        If it is not what a commit writes, however early that was stopped.
    """
    size = system.size(descriptor)
    start = system.read(descriptor, HEADER_SIZE, 0)
    fields, digest = start[: _HEADER.size], start[_HEADER.size :]
    if len(start) < HEADER_SIZE or hashlib.sha256(fields).digest() != digest:
        if size <= HEADER_SIZE:  # the header is synced before anything else is written
            return None
        msg = "the journal of an interrupted commit is damaged"
        name = journal_path(target).name
        hint = "nothing was changed: restore the file from a copy, or remove the journal if the file opens without it"
        raise DamagedFileError(msg, where=str(target), found=name, hint=hint)
    magic, *values = _HEADER.unpack(fields)
    if magic != _MAGIC:
        msg = "the journal is of another version of nwbpipe"
        raise DamagedFileError(msg, where=str(target), found=repr(magic), hint="open the file with that version")
    header = JournalHeader(*values)
    pages, sealed = _verify_pages(system, descriptor, header, size)
    return Journal(header, sealed, pages if sealed else ())


def _verify_pages(
    system: System, descriptor: int, header: JournalHeader, size: int
) -> tuple[tuple[JournalPage, ...], bool]:
    """Return the pages, and whether all of them and the seal are good."""
    hasher = hashlib.sha256(header.pack())
    pages: list[JournalPage] = []
    position, limit = HEADER_SIZE, min(header.old_end, header.new_end)
    while position < size:
        head = system.read(descriptor, max(_PAGE.size, _END.size + _DIGEST), position)
        if head[: len(_SEAL)] == _SEAL:
            end, digest = head[: _END.size], head[_END.size : _END.size + _DIGEST]
            hasher.update(end)
            return tuple(pages), hasher.digest() == digest and _END.unpack(end)[1] == len(pages)
        if len(head) < _PAGE.size:
            break
        offset, length, before, after = _PAGE.unpack(head[: _PAGE.size])
        if offset + length > limit or length == 0:
            break
        position += _PAGE.size
        data = system.read(descriptor, length, position)
        if hashlib.sha256(data).digest() != after:
            break
        hasher.update(head[: _PAGE.size])
        hasher.update(data)
        pages.append(JournalPage(offset, length, position, before, after))
        position += length
    return (), False
