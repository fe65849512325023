"""Real processes that die, meet a full disk, or write all at once: ``python -m tests.faults.driver WHAT FOLDER ...``.

Prints one JSON object: how many cases ran, what came out, and what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import FileAccessError
from nwbpipe.files import hold_lock, recover, transaction
from nwbpipe.files._change_in_place import open_journaled
from nwbpipe.files._os import System
from tests.faults.scenarios import append, content, fill, remove


class KillAt(System):
    """Ends the process with SIGKILL at one of its calls."""

    def __init__(self, at: int, after: bool) -> None:
        self.left, self.after = at, after

    def _count(self, call: Callable[..., Any], *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0 and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments)
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        return int(self._count(super().write, descriptor, data, offset))

    def truncate(self, descriptor: int, size: int) -> None:
        self._count(super().truncate, descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._count(super().sync, descriptor)

    def sync_data(self, descriptor: int) -> None:
        self._count(super().sync_data, descriptor)

    def unlink(self, path: Path) -> None:
        self._count(super().unlink, path)


def fork(work: Callable[[], None]) -> int:
    """Do it in another process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except FileAccessError:
            code = 3
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Judge:
    """Compares by content with the old file and the new."""

    def __init__(self, folder: Path, change: Callable[[h5py.File], None]) -> None:
        self.change, self.path = change, folder / "session.h5"
        with h5py.File(self.path, "w") as file:
            fill(file)
            file["bulk"] = np.arange(30_000)
        self.start = self.path.read_bytes()
        self.old = content(self.path)
        with transaction(self.path) as file:
            change(file)
        self.new, self.longest = content(self.path), self.path.stat().st_size
        self.cases, self.failures = Counter[str](), list[str]()

    def reset(self) -> None:
        self.path.write_bytes(self.start)

    def reader(self, case: str) -> None:
        """A plain reader sees the old state or the new, or is refused."""
        try:
            seen = content(self.path)
        except OSError:
            return
        if seen not in (self.old, self.new):
            self.failures.append(f"{case}: a plain reader saw a mixture")

    def outcome(self, case: str, must: str | None = None) -> None:
        recover(self.path)
        if (seen := content(self.path)) not in (self.old, self.new):
            self.failures.append(f"{case}: neither old nor new")
        elif seen == self.old and self.path.read_bytes() != self.start:
            self.failures.append(f"{case}: old, but not byte for byte")
        elif must is not None and seen != {"old": self.old, "new": self.new}[must]:
            self.failures.append(f"{case}: not the {must} file")
        self.cases["old" if seen == self.old else "new"] += 1

    def report(self) -> None:
        print(json.dumps({"cases": self.cases, "failures": self.failures}))


def kill(folder: Path) -> None:
    """SIGKILL before and after every call of the commit."""
    for change in (append, remove):
        judge = Judge(folder, change)
        for after in (False, True):
            at, code = 0, -signal.SIGKILL
            while code == -signal.SIGKILL:
                judge.reset()

                def work(at: int = at, after: bool = after, judge: Judge = judge) -> None:
                    system = KillAt(at, after)
                    with hold_lock(judge.path), open_journaled(judge.path, lock_timeout=5, system=system) as file:
                        judge.change(file)

                code = fork(work)
                case = f"{change.__name__}: SIGKILL {'after' if after else 'before'} call {at}"
                judge.reader(case)
                judge.outcome(case)
                at += 1
            if code != 0:
                judge.failures.append(f"{case}: exit code {code}")
        judge.report()
        judge.path.unlink()


def full_disk(folder: Path, copy: int) -> None:
    """A limit on the size of files at every per cent of the way; for the copy, near the end of it."""
    if copy:
        os.environ["NWBPIPE_TRANSACTION"] = "copy"
    judge = Judge(folder, append)
    coarse = [round(judge.longest * step / 50) for step in range(50)]
    fine = [round(len(judge.start) + (judge.longest - len(judge.start)) * step / 25) for step in range(-2, 28)]
    for limit in fine if copy else coarse + fine:
        judge.reset()

        def work(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with transaction(judge.path) as file:
                judge.change(file)

        code = fork(work)
        case = f"files of at most {limit} bytes"
        if code not in (0, 3):
            judge.failures.append(f"{case}: exit code {code}")
        judge.reader(case)
        judge.outcome(case, must={0: "new", 3: "old"}.get(code))
    judge.report()


def writers(folder: Path, count: int, each: int, deaths: int) -> None:
    """Many writers at once, some of which are killed. What a writer was told is committed must be there."""
    path = folder / "shared.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    said = folder / "said"
    said.mkdir()

    def work(number: int) -> None:
        for turn in range(each):
            name = f"writer{number}_{turn}"
            with transaction(path, lock_timeout=120) as file:
                file[name] = np.full(500, number)
            (said / name).touch()

    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number)
            finally:
                os._exit(0)
        children.append(pid)
    rng = random.Random(0)
    for pid in rng.sample(children, deaths):
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    recover(path)
    failures = []
    with h5py.File(path) as file:
        for name in sorted(one.name for one in said.iterdir()):
            if name not in file or not (file[name][()] == int(name.split("_")[0][6:])).all():
                failures.append(f"{name} was committed, and is lost")
        for one in [one for one in file if one.startswith("writer")]:
            file[one][()]
    told = len(list(said.iterdir()))
    if not deaths and told != count * each:
        failures.append(f"only {told} of {count * each} commits came about")
    print(json.dumps({"cases": {"commits": told}, "failures": failures}))
    shutil.rmtree(said)
    path.unlink()


if __name__ == "__main__":
    what, place, *rest = sys.argv[1:]
    {"kill": kill, "full_disk": full_disk, "writers": writers}[what](Path(place), *map(int, rest))
