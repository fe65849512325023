"""Operating systems to commit on: one that notes every call, one that fails, one that dies, and what a disk keeps."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from nwbpipe.files._os import System

SECTOR = 512


class Killed(BaseException):
    """The process ends here: nothing after it is carried out."""


@dataclass(frozen=True)
class Call:
    """A call that changes something. `file` is a path; the folder's for its sync."""

    kind: str  # create, write, truncate, sync, sync_folder, unlink, lock
    file: Path
    offset: int = 0
    data: bytes = b""


class Quiet(System):
    """No sync reaches the disk: what that would mean is modelled, not waited for."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_data(self, descriptor: int) -> None:
        self.sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        pass


class Recording(Quiet):
    """Notes every call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.names: dict[int, Path] = {}

    def note(self, kind: str, file: Path, offset: int = 0, data: bytes = b"") -> None:
        self.calls.append(Call(kind, file, offset, data))

    def open(self, path: Path, *, create: bool = False) -> int:
        if create:
            self.note("create", path)
        descriptor = super().open(path, create=create)
        self.names[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        self.note("write", self.names[descriptor], offset, bytes(data))
        return super().write(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        self.note("truncate", self.names[descriptor], size)
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self.note("sync", self.names[descriptor])

    def sync_folder(self, folder: Path) -> None:
        self.note("sync_folder", folder)

    def unlink(self, path: Path) -> None:
        self.note("unlink", path)
        super().unlink(path)

    def lock(self, descriptor: int, *, exclusive: bool) -> bool:
        self.note("lock", self.names[descriptor])
        return super().lock(descriptor, exclusive=exclusive)


@dataclass
class Fault:
    """What happens at the call number `at`.

    `how`: an errno's name; "short", a write that takes half; "kill", death before it; "kill half", death when half of
    a write is done. `lasting`: all later calls fail, too.
    """

    at: int
    how: str
    lasting: bool = False


@dataclass
class Faulty(Recording):
    """Fails or dies at one call."""

    fault: Fault
    calls: list[Call] = field(default_factory=list)
    names: dict[int, Path] = field(default_factory=dict)
    dead: bool = False

    def note(self, kind: str, file: Path, offset: int = 0, data: bytes = b"") -> None:
        if self.dead:
            raise Killed
        number = len(self.calls)
        super().note(kind, file, offset, data)
        if number != self.fault.at and not (self.fault.lasting and number > self.fault.at):
            return
        if self.fault.how.startswith("kill"):
            self.dead = True
            if self.fault.how == "kill":
                raise Killed
        elif self.fault.how != "short":
            code = getattr(errno, self.fault.how)
            raise OSError(code, os.strerror(code))

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        self.note("write", self.names[descriptor], offset, bytes(data))
        here = len(self.calls) - 1 == self.fault.at
        if here and self.fault.how in ("short", "kill half"):
            taken = Quiet.write(self, descriptor, bytes(data)[: -(-len(data) // 2)], offset)
            if self.dead:
                raise Killed
            return taken
        return Quiet.write(self, descriptor, data, offset)

    def unlink(self, path: Path) -> None:
        self.note("unlink", path)
        path.unlink()


@dataclass
class Disk:
    """What a power failure leaves: the last synced state, and of what came after it, anything in any order."""

    rng: random.Random
    files: dict[Path, bytes]  # as synced
    names: dict[Path, bool]  # whether the name is durable
    pending: dict[Path, list[Call]] = field(default_factory=dict)
    pending_names: list[Call] = field(default_factory=list)

    def do(self, call: Call) -> None:
        """Carry on to the next call."""
        if call.kind == "sync":
            self.files[call.file] = applied(self.files.get(call.file, b""), self.pending.pop(call.file, []))
        elif call.kind == "sync_folder":
            for one in self.pending_names:
                self.names[one.file] = one.kind == "create"
            self.pending_names = []
        elif call.kind in ("create", "unlink"):
            self.pending_names.append(call)
            if call.kind == "create":
                self.files[call.file], self.pending[call.file] = b"", []
        elif call.kind in ("write", "truncate"):
            self.pending.setdefault(call.file, []).append(call)

    def fail(self, mode: str) -> dict[Path, bytes]:
        """Return the files after a power failure: `mode` is "none" or "all" of what is pending, or "some"."""
        names = dict(self.names)
        for one in self.pending_names:
            if mode == "all" or (mode == "some" and self.rng.random() < 0.5):
                names[one.file] = one.kind == "create"
        left = {}
        for file, there in names.items():
            if there:
                calls = {"none": [], "all": self.pending.get(file, [])}.get(mode)
                if calls is None:
                    calls = self._some(self.pending.get(file, []))
                left[file] = applied(self.files.get(file, b""), calls)
        return left

    def _some(self, calls: Sequence[Call]) -> list[Call]:
        kept: list[Call] = []
        whole, torn = self.rng.choice([(0.5, 0.2), (0.9, 0.1), (0.1, 0.1), (0.0, 1.0)])
        for call in calls:
            luck = self.rng.random()
            if luck < whole:
                kept.append(call)
            elif luck < whole + torn:
                kept += [one for one in sectors(call) if self.rng.random() < 0.5]
        if self.rng.random() < 0.5:
            self.rng.shuffle(kept)
        return kept


def sectors(call: Call) -> list[Call]:
    """Cut a write at the sectors of the disk: each is written whole or not."""
    if call.kind != "write":
        return [call]
    edges = sorted(
        {call.offset, call.offset + len(call.data)}
        | set(range(-(-call.offset // SECTOR) * SECTOR, call.offset + len(call.data), SECTOR))
    )
    return [
        Call("write", call.file, start, call.data[start - call.offset : stop - call.offset])
        for start, stop in pairwise(edges)
    ]


def applied(image: bytes, calls: Sequence[Call]) -> bytes:
    """Return a file's bytes after calls."""
    data = bytearray(image)
    for call in calls:
        if call.kind == "truncate":
            del data[call.offset :]
            data += bytes(call.offset - len(data))
        else:
            data += bytes(max(call.offset + len(call.data) - len(data), 0))
            data[call.offset : call.offset + len(call.data)] = call.data
    return bytes(data)
