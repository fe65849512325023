"""Kill each tool's processes at random moments, run it again by its own command, and count what that took."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from benchmarks._report import note, table
from benchmarks.peers._measure import kill_descendants, start, wait_for_orphans
from benchmarks.peers._setup import Peers
from benchmarks.peers._tools import Pipeline, list_pipelines

_SEED = 20261130
_TRIES = 8  # runs after a kill, with work by hand between them
_HEADER = [
    "killed at random", "kills", "files unreadable, invalid right after", "result in a file, unknown to the tool",
    "taken for done, and is not", "runs that ended well and left work", "work by hand until complete",
    "in the end: unreadable, invalid, double, missing",
]  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """When to kill: after a share of an undisturbed run's time, or some seconds after so many files have changed."""

    share: float = 0.0
    changes: int = 0
    delay: float = 0.0

    def describe(self) -> str:
        if self.changes:
            return f"all processes {self.delay * 1000:.0f} ms after change {self.changes} of a file"
        return f"the process group at {self.share:.0%} of its time"


@dataclass
class Damage:
    """What kills did, and what it took to complete the work after them."""

    kills: int = 0
    unreadable: int = 0
    invalid: int = 0
    unknown: int = 0
    false: int = 0
    silent: int = 0
    survivors: int = 0
    work: Counter[str] = field(default_factory=Counter)
    end: Counter[str] = field(default_factory=Counter)

    def add(self, other: Damage) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def row(self) -> list[str]:
        work = ", ".join(f"{count} × {name}" for name, count in sorted(self.work.items())) or "none"
        end = ", ".join(str(self.end[name]) for name in ("unreadable", "invalid", "double", "missing"))
        counts = (self.unknown, self.false, self.silent)
        return [str(self.kills), f"{self.unreadable}, {self.invalid}", *map(str, counts), work, end]


def choose_moments(kills: int, sessions: int, seed: int = _SEED) -> list[Moment]:
    """Return moments, by turns a share of the time and a change of a file; the same ones for each tool."""
    rng, moments = random.Random(seed), []
    for number in range(kills):
        if number % 2:
            moments.append(Moment(changes=rng.randint(1, sessions), delay=rng.uniform(0, 0.03)))
        else:
            low, width = number / kills, 1 / kills
            moments.append(Moment(share=0.1 + 0.8 * rng.uniform(low, low + width)))
    return moments


def compare_kills(folder: Path, sessions: int, kills: int, peers: Peers) -> None:
    """Print a table of what kills at random moments did to each tool that knows what is done."""
    rows = []
    for pipeline in list_pipelines(folder, sessions, peers, noticing=True):
        undisturbed = pipeline.run().wall
        total = Damage()
        for moment in choose_moments(kills, sessions):
            damage = kill_once(pipeline, moment, undisturbed)
            total.add(damage)
            note(f"<!-- {pipeline.name}, {moment.describe()}: {' | '.join(damage.row())} -->")
        if total.survivors:
            note(f"<!-- {pipeline.name}: {total.survivors} processes outlived their parent by ten seconds -->")
        rows.append([pipeline.name, *total.row()])
        pipeline.remove()
    table([f"{_HEADER[0]}, {sessions} sessions", *_HEADER[1:]], rows)
    note()


def kill_once(pipeline: Pipeline, moment: Moment, undisturbed: float) -> Damage:
    """Start from nothing, kill at a moment, and run again until all is done and known."""
    pipeline.begin_again()
    damage = Damage(kills=1, survivors=_kill(pipeline, moment, undisturbed))
    states = Counter(check_files(pipeline).values())
    damage.unreadable, damage.invalid = states["unreadable"], states["invalid"]
    known = pipeline.known()
    right = {number for number in range(pipeline.sessions) if not pipeline.judge_result(number, pipeline.windows[0])}
    damage.unknown, damage.false = len(right - known), len(known - right)
    _complete(pipeline, damage)
    damage.end = Counter(check_files(pipeline).values())
    damage.end["double"] = sum(map(_count_surplus, _list_outputs(pipeline)))
    damage.end["missing"] = sum(
        bool(pipeline.judge_result(number, pipeline.windows[0])) for number in range(pipeline.sessions)
    )
    return damage


def _kill(pipeline: Pipeline, moment: Moment, undisturbed: float) -> int:
    """Run the tool until the moment, and kill; return how many processes were left ten seconds later."""
    server = pipeline.peers.server
    before = _stat_files(pipeline)
    running = start(pipeline.commands(), pipeline.folder, pipeline.variables(), apart=True)
    if moment.changes:
        while any(process.poll() is None for process in running):
            if sum(before.get(path) != state for path, state in _stat_files(pipeline).items()) >= moment.changes:
                break
            time.sleep(0.001)
        time.sleep(moment.delay)
        kill_descendants(server)
        left = 0
    else:
        time.sleep(moment.share * undisturbed)
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        left = wait_for_orphans(server)
        kill_descendants(server)
    for process in running:
        process.wait()
    return left


def _complete(pipeline: Pipeline, damage: Damage) -> None:
    """Run the tool again by its own command, and do what it asks for, until all is done and known."""
    for _ in range(_TRIES):
        cost = pipeline.run()
        done = pipeline.judge() == "right" and len(pipeline.known()) == pipeline.sessions
        if done and cost.code == 0:
            return
        damage.silent += cost.code == 0
        work = pipeline.mend(cost)
        if not work:
            note(f"<!-- {pipeline.name}, exit {cost.code}, and nothing helps: {cost.output[-400:]} -->")
            return
        damage.work.update(work)


def _list_outputs(pipeline: Pipeline) -> list[Path]:
    """Return the files that results are written to, those that exist."""
    paths = (pipeline.result(number, pipeline.windows[0])[0] for number in range(pipeline.sessions))
    return [path for path in paths if path.exists()]


def _stat_files(pipeline: Pipeline) -> dict[Path, tuple[int, int, int]]:
    states = {}
    for path in _list_outputs(pipeline):
        with contextlib.suppress(FileNotFoundError):  # Snakemake removes what a failed job has written
            state = path.stat()
            states[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return states


def check_files(pipeline: Pipeline) -> dict[str, str]:
    """Say how plain pynwb finds each file that results are written to: valid, invalid or unreadable."""
    words = [str(pipeline.peers.python), str(Path(__file__).with_name("_body.py")), "check"]
    paths = [str(path) for path in _list_outputs(pipeline)]
    done = subprocess.run(
        [*words, *paths], env=pipeline.peers.variables(), check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _count_surplus(path: Path) -> int:
    """Return how many results a file holds beyond the one that it should."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return max(len(file["processing/ecephys"]) - 1, 0)
    except (OSError, KeyError):
        return 0
