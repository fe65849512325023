"""Commit a changed view to its file: see ``docs/design/005-transactions.md``.

The steps, each synced before the next begins:

1. the journal's header, and the folder            (from here on the next open looks after the file)
2. the tail: what is new past the old end          (readers don't look there)
3. the changed pages and the seal, into the journal    — this is the commit —
4. the superblock's signature is blanked           (from here on every HDF5 reader refuses the file)
5. the changed pages, in place, the superblock's without its signature
6. the signature: eight bytes within one sector    (every reader sees the new file)
7. the end is cut off, where the new file is shorter
8. the journal is removed, and the folder synced

Before 3 is synced, the old file stands; after it, `finish` carries out 4 to 8, now or at the next open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nwbpipe.errors import DamagedFileError
from nwbpipe.files._journal import (
    HEADER_SIZE,
    SIGNATURE,
    SUPERBLOCK,
    Journal,
    JournalHeader,
    JournalPage,
    find_superblock,
    journal_path,
    read_journal,
    superblock_digest,
    write_header,
    write_pages,
)
from nwbpipe.files._os import System, write_all

BLANK = bytes(len(SIGNATURE))
SEARCHED = 64 * 1024  # user blocks larger than this are not known


class PendingChange(Protocol):
    """Interface of a view that can be committed."""

    old_end: int

    @property
    def new_end(self) -> int:
        """Size of the new file."""

    def changed_pages(self) -> Iterable[tuple[int, bytes]]:
        """Yield the changed pages below both ends."""

    def tail(self) -> Iterable[tuple[int, bytes | memoryview]]:
        """Yield what is new past the old end."""

    def read_new(self, offset: int, size: int) -> bytes:
        """Bytes of the new file."""


class InterruptedCommitError(Exception):
    """The system failed at a point from which only `recover` leads on; the cause is its error."""

    def __init__(self, *, committed: bool) -> None:
        self.committed = committed
        super().__init__("committed, not yet in place" if committed else "undecided")


class Placement:
    """The second half of a commit: what a sealed journal says is put in place.

    Parameters
    ----------
    target : Path
        The file, locked by the caller.
    descriptor : int
        The file, open for reading and writing.
    system : System
        The operating system.
    """

    def __init__(self, target: Path, descriptor: int, system: System) -> None:
        self.target, self.descriptor, self.system = target, descriptor, system
        self.path = journal_path(target)

    def finish(self, journal: int) -> None:
        """Put what a sealed journal says in place."""
        plan = read_journal(self.system, journal, self.target)
        if plan is None or not plan.sealed:
            raise OSError("the journal does not read back as it was written")
        self.blank_signature(plan)
        self.put_pages(plan, journal)
        self.write_signature(plan)
        self.truncate_to(plan.header.new_end)
        self.remove_journal()

    def blank_signature(self, plan: Journal) -> None:
        """Make every reader refuse the file."""
        write_all(self.system, self.descriptor, BLANK, plan.header.superblock)
        self.system.sync_data(self.descriptor)

    def put_pages(self, plan: Journal, journal: int) -> None:
        """Write the pages where they belong, but for the signature."""
        for page in plan.pages:
            data = self.system.read(journal, page.length, page.source)
            write_all(self.system, self.descriptor, blank_signature_bytes(plan, page, data), page.offset)
        self.system.sync_data(self.descriptor)

    def write_signature(self, plan: Journal) -> None:
        """Let readers in again."""
        write_all(self.system, self.descriptor, SIGNATURE, plan.header.superblock)
        self.system.sync(self.descriptor)  # the time of the change, too: caches go by it

    def truncate_to(self, size: int) -> None:
        """Take off what lies past `size`."""
        if self.system.size(self.descriptor) > size:
            self.system.truncate(self.descriptor, size)
            self.system.sync(self.descriptor)

    def remove_journal(self) -> None:
        """Remove the journal."""
        self.system.unlink(self.path)
        self.system.sync_folder(self.path.parent)


class FileCommit(Placement):
    """A whole commit.

    Parameters
    ----------
    target, descriptor, system
        See `Placement`.
    change : Change
        What the file is to become.
    """

    def __init__(self, target: Path, descriptor: int, change: PendingChange, system: System) -> None:
        super().__init__(target, descriptor, system)
        self.change = change

    def run(self) -> None:
        """Make the change durable and put it in place.

        Raises
        ------
        OSError
            Nothing was committed: the old file stands (if a longer tail could not be cut off, `recover` does it).
        InterruptedCommitError
            The system failed in a way that leaves the rest to `recover`.
        """
        header = self.make_header()
        journal = self.system.open(self.path, create=True)
        try:
            sealing = False
            try:
                self.begin(journal, header)
                self.write_tail()
                sealing = True
                self.seal(journal, header)
            except OSError:
                self.undo(journal, header, sealing=sealing)
                raise
            try:
                self.finish(journal)
            except OSError as error:
                raise InterruptedCommitError(committed=True) from error
        finally:
            self.system.close(journal)

    def make_header(self) -> JournalHeader:
        """Describe the target before and after."""
        offset = find_superblock(self.change.read_new(0, SEARCHED))
        if offset is None:
            msg = "the file has no HDF5 superblock where one is looked for"
            raise DamagedFileError(msg, where=str(self.target), hint="restore it from a copy")
        return JournalHeader(
            inode=self.system.inode(self.descriptor),
            old_end=self.change.old_end,
            new_end=self.change.new_end,
            superblock=offset,
            before=superblock_digest(self.system.read(self.descriptor, SUPERBLOCK, offset)),
            after=superblock_digest(self.change.read_new(offset, SUPERBLOCK)),
        )

    def begin(self, journal: int, header: JournalHeader) -> None:
        """Say durably that a commit begins."""
        write_header(self.system, journal, header)
        self.system.sync(journal)
        self.system.sync_folder(self.path.parent)

    def write_tail(self) -> None:
        """Write what lies past the old end."""
        if self.change.new_end <= self.change.old_end:
            return
        for offset, data in self.change.tail():
            write_all(self.system, self.descriptor, data, offset)
        if self.system.size(self.descriptor) != self.change.new_end:  # a hole at the end
            self.system.truncate(self.descriptor, self.change.new_end)
        self.system.sync(self.descriptor)

    def seal(self, journal: int, header: JournalHeader) -> None:
        """Complete the journal: this is the commit."""
        write_pages(self.system, journal, header, self._journal_pages())
        self.system.sync(journal)

    def _journal_pages(self) -> Iterator[tuple[int, bytes, bytes]]:
        for offset, new in self.change.changed_pages():
            yield offset, self.system.read(self.descriptor, len(new), offset), new

    def undo(self, journal: int, header: JournalHeader, *, sealing: bool) -> None:
        """Take back a commit that could not be sealed."""
        if sealing:  # the seal may be on the disk, whatever the system said: first it must not be
            try:
                self.system.truncate(journal, HEADER_SIZE)
                self.system.sync(journal)
            except OSError as error:
                raise InterruptedCommitError(committed=False) from error
        with suppress(OSError):  # else the next open does it
            self.truncate_to(header.old_end)
            self.remove_journal()


def blank_signature_bytes(plan: Journal, page: JournalPage, data: bytes) -> bytes:
    """Return a page's bytes with the superblock's signature blanked, if it is there."""
    start = plan.header.superblock - page.offset
    if 0 <= start < page.length:
        data = data[:start] + BLANK + data[start + len(BLANK) :]
    return data
