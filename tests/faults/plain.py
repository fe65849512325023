"""What the same faults do to a plain append with h5py: ``python -m tests.faults.plain`` prints a table.

The writes of HDF5 are recorded (and failed) through a file object; the limit on the size of files is the system's
own, with HDF5's own driver. Each outcome is looked at in a process of its own, with a time limit: a damaged file can
keep HDF5 busy for ever.
"""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from tests.faults.harness import Harness, Subject
from tests.faults.scenarios import Scenario, append, build, content
from tests.faults.systems import Call, Disk, applied

SAMPLES = 10


class Recorder:
    """A file object over bytes, which notes what HDF5 does, and from some call on has no space."""

    def __init__(self, path: Path, data: bytes, fails_at: int | None = None) -> None:
        self.path, self.data, self.fails_at = path, bytearray(data), fails_at
        self.position, self.calls = 0, list[Call]()

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, len(self.data))[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: memoryview) -> int:
        part = self.data[self.position : self.position + len(buffer)]
        buffer[: len(part)] = part
        self.position += len(part)
        return len(part)

    def _do(self, call: Call) -> None:
        if self.fails_at is not None and len(self.calls) >= self.fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.calls.append(call)
        self.data = bytearray(applied(bytes(self.data), [call]))

    def write(self, data: memoryview) -> int:
        self._do(Call("write", self.path, self.position, bytes(data)))
        self.position += len(data)
        return len(data)

    def truncate(self, size: int) -> int:
        self._do(Call("truncate", self.path, size))
        return size

    def flush(self) -> None:
        pass


class Looker:
    """Tells what a reader makes of a file."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.path, self.scenario = folder / "looked.h5", scenario
        self.known = {self.of(scenario.old, {}): "old", self.of(scenario.new, {}): "new"}

    def of(self, data: bytes, known: dict[str, str] | None = None) -> str:
        self.path.write_bytes(data)
        return self.look(self.path, self.known if known is None else known)

    def look(self, path: Path, known: dict[str, str] | None = None) -> str:
        known = self.known if known is None else known
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(5)
            answer = "unreadable"
            try:
                answer = content(path)
            except BaseException:
                answer = "unreadable"
            finally:
                os.write(writing, answer.encode())
                os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading) as pipe:
            answer = pipe.read() or "unreadable"  # it crashed, or was stopped
        return answer if not known else known.get(answer, answer if answer == "unreadable" else "mixture")


def hush() -> None:
    """HDF5 complains at length."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def in_child(work: Callable[[], bytes | None]) -> bytes:
    """Run HDF5 where it may leave a mess; return the bytes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        hush()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(work() or b"")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return data


def plain_append(recorder: Recorder) -> bytes:
    """Append as anyone would; whatever goes wrong, return what is in the file then."""
    try:
        with h5py.File(recorder.path, "r+", driver="fileobj", fileobj=recorder) as file:
            append(file)
    except BaseException:  # whatever it is
        hush()
    return bytes(recorder.data)


def killed(scenario: Scenario, calls: list[Call]) -> Iterator[bytes]:
    """The process dies before, within and after every write."""
    for at in range(len(calls) + 1):
        yield applied(scenario.old, calls[:at])
        if at < len(calls) and calls[at].kind == "write":
            one = calls[at]
            half = Call("write", one.file, one.offset, one.data[: len(one.data) // 2])
            yield applied(scenario.old, [*calls[:at], half])


def no_space(scenario: Scenario, calls: list[Call]) -> Iterator[bytes]:
    """No space from some write on."""
    for at in range(len(calls)):
        yield in_child(lambda at=at: plain_append(Recorder(calls[0].file, scenario.old, at)))


def power(scenario: Scenario, calls: list[Call]) -> Iterator[bytes]:
    """Power fails, and what was not synced is written in part, in any order."""
    path = calls[0].file
    disk = Disk(random.Random(0), {path: scenario.old}, {path: True})
    for call in calls:
        disk.do(call)
        for _ in range(SAMPLES):
            yield disk.fail("some")[path]


def limited(scenario: Scenario, folder: Path) -> Iterator[bytes]:
    """Files may not grow beyond some size."""
    path = folder / "limited.h5"
    for step in range(30):
        limit = len(scenario.old) + (len(scenario.new) - len(scenario.old)) * step // 30
        path.write_bytes(scenario.old)

        def work(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with h5py.File(path, "r+") as file:
                append(file)

        pid = os.fork()
        if pid == 0:
            hush()
            try:
                work()
            except BaseException:  # whatever it is
                hush()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        yield path.read_bytes()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = build("append", folder)
        looker = Looker(scenario, folder)
        recorder = Recorder(folder / "plain.h5", scenario.old)
        plain_append(recorder)
        calls = recorder.calls
        ours = Harness(Subject(), scenario, folder)
        report = ours.explore(SAMPLES)
        command = [sys.executable, "-m", "tests.faults.driver", "full_disk", str(folder)]
        limits = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        report.failures += limits["failures"]
        report.cases["limit"] = sum(limits["cases"].values())
        kinds = {
            "the process is killed at any write": (killed(scenario, calls), ("killed",)),
            "the disk is full, or fails, from any call on": (no_space(scenario, calls), ("call fails",)),
            "files may not grow further (RLIMIT_FSIZE)": (limited(scenario, folder), ("limit",)),
            "the power fails at any moment": (power(scenario, calls), ("power fails", "power fails twice")),
        }
        print("| fault | plain h5py: cases | old | new | unreadable | mixture | nwbpipe: cases | old or new, whole |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for label, (images, names) in kinds.items():
            seen = Counter(looker.of(image) for image in images)
            counts = " | ".join(str(seen[one]) for one in ("old", "new", "unreadable", "mixture"))
            cases = sum(report.cases[one] for one in names)
            print(f"| {label} | {seen.total()} | {counts} | {cases} | {cases if not report.failures else '?'} |")


if __name__ == "__main__":
    main()
