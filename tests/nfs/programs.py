"""What the guests run: ``python -m tests.nfs.programs NAME …`` prints a line for each thing that it did."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from nwbpipe import files
from nwbpipe.errors import NwbpipeError


def say(*words: object) -> None:
    """Print a line that a loss of power does not take away."""
    print(*words, flush=True)
    os.fsync(1)


def make(path: str, megabytes: str = "0.1") -> None:
    """Write a file with a dataset of a size."""
    with h5py.File(path, "w") as file:
        file["raw"] = np.random.default_rng(0).integers(0, 255, int(float(megabytes) * 1e6), np.uint8)


def make_values(name: str) -> np.ndarray:
    """Return what a commit of this name writes."""
    return np.random.default_rng(list(name.encode())).normal(size=1000)


def commit(path: str, prefix: str, first: str, last: str, pause: str = "0.3", timeout: str = "60") -> None:
    """Commit a dataset for each number from `first` up to `last`; ``ok NAME`` acknowledges one."""
    for number in range(int(first), int(last)):
        name = f"{prefix}_{number}"
        began = time.monotonic()
        try:
            with files.transaction(path, lock_timeout=float(timeout)) as file:
                file.require_group("commits")[name] = make_values(name)
        except NwbpipeError as error:
            say("error", name, f"{time.monotonic() - began:.1f} s", type(error).__name__, repr(str(error)))
        else:
            say("ok", name, f"{time.monotonic() - began:.1f} s")
        time.sleep(random.uniform(0, float(pause)))


def hold(path: str, until: str) -> None:
    """Hold the writers' lock until there is another file (for an hour at most), and commit."""
    with files.transaction(path) as file:
        file.require_group("commits")["held"] = make_values("held")
        say("holds")
        wait_for_file(until)
    say("ok held")


def wait_for_file(path: str) -> None:
    """Wait for a file, an hour at most."""
    end = time.monotonic() + 3600
    while not Path(path).exists() and time.monotonic() < end:
        time.sleep(0.2)


def check(path: str) -> None:
    """Print the commits that are in a file, those with other values, and what is beside it."""
    with files.open_safe(Path(path)) as file:
        names = list(file["commits"]) if "commits" in file else []
        wrong = [name for name in names if not np.array_equal(file["commits"][name][()], make_values(name))]
        raw = file["raw"][()]
        if not np.array_equal(raw, np.random.default_rng(0).integers(0, 255, raw.size, np.uint8)):
            wrong.append("raw")
    beside = sorted(entry.name for entry in Path(path).parent.glob(f".{Path(path).name}*"))
    say(json.dumps({"names": names, "wrong": wrong, "beside": beside}))


def read(path: str, seconds: str) -> None:
    """Read a file for a while without a lock, each time as a whole and with a pause within."""
    end, times, tries = time.monotonic() + float(seconds), 0, 0

    def read_slowly() -> int:
        nonlocal tries
        tries += 1
        with h5py.File(path, locking=False) as file:
            say("open", file.id.get_filesize())
            size = file["raw"].size
            total = 0
            for start in range(0, size, size // 4 + 1):
                total += int(file["raw"][start : start + size // 4 + 1].astype(np.int64).sum())
                time.sleep(0.5)
            return total

    expected = None
    while time.monotonic() < end:
        total = files.read_settled(Path(path), read_slowly)
        assert expected in (None, total), "another sum"
        expected, times = total, times + 1
    say("read", times, "tries", tries)


def lock_hdf5(path: str, until: str) -> None:
    """Have a file open with HDF5's lock until there is another file."""
    with h5py.File(path):
        say("open")
        wait_for_file(until)


def watch(path: str, seconds: str) -> None:
    """Tell each state of a file that shows: its number, the time, and the inode."""
    end, last, number = time.monotonic() + float(seconds), -1, 0
    look = os.stat if os.environ.get("LOOK") == "cached" else files.read_stat
    while time.monotonic() < end:
        try:
            inode = look(path).st_ino
        except FileNotFoundError:
            inode = 0
        if inode != last:
            last, number = inode, number + 1
            say("state", number, f"{time.time():.2f}", inode)
        time.sleep(0.2)


def copy(path: str) -> None:
    """Commit once, and tell how many bytes the server copied by itself."""
    copied: list[int] = []
    real = os.copy_file_range

    def count(*words: int) -> int:
        copied.append(real(*words))
        return copied[-1]

    os.copy_file_range = count  # type: ignore[assignment]
    size = Path(path).stat().st_size
    began = time.monotonic()
    commit(path, "copied", "0", "1", "0")
    say("server", sum(copied), "of", size, f"{time.monotonic() - began:.1f} s")


def session(path: str) -> None:
    """Write a session with a movie."""
    from tests.processors.imaging.session import write_session

    write_session(Path(path), np.random.default_rng(0).integers(0, 200, (40, 16, 16), np.uint16), rate=10.0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
