"""Broken commits: each leaves out, or misplaces, one thing that safety rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nwbpipe.files import _commit, _recover
from nwbpipe.files._commit import FileCommit, Placement
from nwbpipe.files._journal import HEADER_SIZE, Journal, JournalHeader, JournalPage, read_journal
from nwbpipe.files._os import System
from tests.faults.harness import Subject


class _NoSync:
    """A system whose syncs do nothing: of files, of folders, or of both."""

    def __init__(self, system: System, kinds: tuple[str, ...]) -> None:
        self._system = system
        for kind in kinds:
            setattr(self, kind, lambda *_: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)


def _unsynced(base: type, method: str, *kinds: str) -> type:
    """Make a subclass that skips the syncs within one of its steps."""

    def step(self: Any, *arguments: Any) -> None:
        system, self.system = self.system, _NoSync(self.system, kinds or ("sync", "sync_data"))
        try:
            getattr(base, method)(self, *arguments)
        finally:
            self.system = system

    assert hasattr(base, method), f"{base.__name__} has no step {method}"
    return type(f"No_{method}", (base,), {method: step})


def _both(method: str, *kinds: str) -> Subject:
    return Subject(_unsynced(FileCommit, method, *kinds), _unsynced(Placement, method, *kinds))


def _overridden(method: str, step: Callable[..., Any]) -> Subject:
    assert hasattr(FileCommit, method), f"a commit has no step {method}"
    return Subject(type("Mutant", (FileCommit,), {method: step}), type("Mutant", (Placement,), {method: step}))


class _PagesBeforeJournal(FileCommit):
    """In place first, journal later."""

    def seal(self, journal: int, header: JournalHeader) -> None:
        for offset, data in self.change.changed_pages():
            self.system.write(self.descriptor, data, offset)
        self.system.sync(self.descriptor)
        super().seal(journal, header)


class _NoHeader(FileCommit):
    """Nothing says that a commit begins."""

    def begin(self, journal: int, header: JournalHeader) -> None:
        pass

    def seal(self, journal: int, header: JournalHeader) -> None:
        super().begin(journal, header)
        super().seal(journal, header)


class _TailLast(FileCommit):
    """The tail is written when the journal is sealed already."""

    def write_tail(self) -> None:
        pass

    def seal(self, journal: int, header: JournalHeader) -> None:
        super().seal(journal, header)
        FileCommit.write_tail(self)


class _CutEarly(FileCommit):
    """A shorter file is cut before the journal is durable."""

    def write_tail(self) -> None:
        super().write_tail()
        self.truncate_to(self.change.new_end)


class _NoUndo(FileCommit):
    """A seal that failed to be synced is left."""

    def undo(self, journal: int, header: JournalHeader, *, sealing: bool) -> None:
        super().undo(journal, header, sealing=False)


def _no_signature_blanked(self: Placement, plan: Journal) -> None:
    pass


def _signature_with_the_pages(self: Placement, plan: Journal, journal: int) -> None:
    for page in plan.pages:
        self.system.write(self.descriptor, self.system.read(journal, page.length, page.source), page.offset)
    self.system.sync(self.descriptor)


def _removed_first(self: Placement, plan: Journal) -> None:
    self.remove_journal()
    self.remove_journal = lambda: None  # type: ignore[method-assign]
    Placement.write_signature(self, plan)


def _not_cut(self: Placement, size: int) -> None:
    pass


def _any_seal(system: System, descriptor: int, target: Path) -> Journal | None:
    """Believe a journal whatever its digests say: what is there of its pages counts."""
    plan = read_journal(system, descriptor, target)
    if plan is None or plan.sealed:
        return plan
    pages, position, size = [], HEADER_SIZE, system.size(descriptor)
    while position < size:
        offset, length = (int.from_bytes(system.read(descriptor, 8, position + 8 * one), "little") for one in (0, 1))
        if length > 1 << 20 or offset + length > plan.header.old_end:
            break
        pages.append(JournalPage(offset, length, position + 80, b"", b""))
        position += 80 + length
    return replace(plan, sealed=bool(pages), pages=tuple(pages))


def _one_write(system: System, descriptor: int, data: bytes | memoryview, offset: int) -> None:
    system.write(descriptor, data, offset)


def _thrown_away(placement: Placement, journal: int) -> None:
    """Recovery that takes back what is committed."""
    plan = read_journal(placement.system, journal, placement.target)
    if plan is not None:
        placement.truncate_to(plan.header.old_end)
    placement.remove_journal()


@contextmanager
def _patched(**names: Any) -> Iterator[None]:
    """Put functions in place of those of `_commit` and `_recover`."""
    with ExitStack() as stack:
        for module in (_commit, _recover):
            for key, one in names.items():
                if hasattr(module, key):
                    stack.enter_context(patch.object(module, key, one))
        yield


SUBJECTS: dict[str, Subject] = {
    "the header's sync is dropped": Subject(_unsynced(FileCommit, "begin", "sync")),
    "the folder's sync at the start is dropped": Subject(_unsynced(FileCommit, "begin", "sync_folder")),
    "the tail's sync is dropped": Subject(_unsynced(FileCommit, "write_tail")),
    "the seal's sync is dropped": Subject(_unsynced(FileCommit, "seal")),
    "the sync after the signature is blanked is dropped": _both("blank_signature"),
    "the sync of the pages in place is dropped": _both("put_pages"),
    "the sync of the new signature is dropped": _both("write_signature"),
    "the sync of the cut is dropped": _both("truncate_to"),
    "the folder's sync at the end is dropped": _both("remove_journal", "sync_folder"),
    "pages go in place before the journal": Subject(_PagesBeforeJournal),
    "no header is written": Subject(_NoHeader),
    "the tail is written after the seal": Subject(_TailLast),
    "the file is cut before the seal": Subject(_CutEarly),
    "a seal that failed is not undone": Subject(_NoUndo),
    "the signature is not blanked": _overridden("blank_signature", _no_signature_blanked),
    "the signature is not last": _overridden("put_pages", _signature_with_the_pages),
    "the journal is removed before the signature is back": _overridden("write_signature", _removed_first),
    "nothing is cut": _overridden("truncate_to", _not_cut),
}

PATCHES: dict[str, dict[str, Any]] = {
    "digests are ignored": {"read_journal": _any_seal},
    "short writes are taken for whole": {"write_all": _one_write},
    "a sealed journal is thrown away": {"finish_or_undo": _thrown_away},
}


@contextmanager
def mutant(name: str) -> Iterator[Subject]:
    """Break one thing."""
    if name in SUBJECTS:
        yield SUBJECTS[name]
    else:
        with _patched(**PATCHES[name]):
            yield Subject()
