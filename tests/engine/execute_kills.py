"""Kill processes of a running project at random, and look at what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nwbpipe import read_records
from tests.fixtures.projects import make_project

STEPS = """
[steps.first]
processor = "count"
params = { label = "first", add = 2, seconds = 0.2 }
[steps.second]
processor = "count"
params = { label = "second", add = 3, seconds = 0.2 }
inputs.series = "first/Counted"
[steps.other]
processor = "count"
params = { label = "other", seconds = 0.2 }
[executor]
kind = "KIND"
workers = 2
retries = 50
"""
RUN = [sys.executable, "-m", "nwbpipe", "run", "--retry-failed"]


@dataclass
class Kills:
    """What was done to a project."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    finished_stages: dict[str, str] = field(default_factory=dict)


def tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The runner and all that it started."""
    try:
        runner = psutil.Process(process.pid)
        return [runner, *runner.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def role(process: psutil.Process) -> str:
    """What a process of the tree is."""
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "gone"
    text = " ".join(words)
    if "environments/_worker.py" in text:
        return "tool"
    if "execute._worker" in text or "distributed" in text or "multiprocessing" in text:
        return "worker"
    return "runner"


def finished_stages(scratch: Path) -> dict[str, str]:
    """Token of each stage that has ended and is kept."""
    return {str(token.parent): token.read_text() for token in scratch.glob("*/stages/*/token")
            if not token.parent.name.endswith(".partial")}  # fmt: skip


def batter(folder: Path, kills: int, seed: int, scratch: Path, kind: str = "local", sessions: int = 2) -> Kills:
    """Run a project, killing a random process of it again and again; then let it finish.

    A new project is made whenever one is done, until there were enough kills.
    """
    chance = random.Random(seed)
    done = Kills()
    number = 0
    while sum(done.kills.values()) < kills:
        number += 1
        project = folder / str(number)
        make_project(project, sessions, STEPS.replace("KIND", kind))
        while True:
            done.starts += 1
            with subprocess.Popen(
                [*RUN, "--project", str(project)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder
            ) as runner:
                killed = kill_some(runner, chance, done, scratch, kills)
                output = runner.communicate(timeout=240)[0].decode()
            if runner.returncode == 0:
                break
            assert killed or runner.returncode < 0, output
        check(project, sessions)
    return done


def kill_some(runner: subprocess.Popen[bytes], chance: random.Random, done: Kills, scratch: Path, kills: int) -> bool:
    """Kill random processes of a runner, until it ends."""
    killed = False
    while runner.poll() is None and sum(done.kills.values()) < kills:
        wanted = chance.choice(["runner", "worker", "tool", "tool"])
        some: list[psutil.Process] = []
        while not some and runner.poll() is None:  # tools come and go
            time.sleep(0.02)
            some = [one for one in tree(runner) if role(one) == wanted]
        time.sleep(chance.uniform(0.0, 0.6 if wanted == "tool" else 6.0))
        some = [one for one in some if one.is_running()]
        if not some:
            continue
        remember(done, scratch)
        victim = chance.choice(some)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed = True
        done.kills[wanted] += 1
    return killed


def remember(done: Kills, scratch: Path) -> None:
    """Stages that have ended are never run again: their tokens stay the same until they are gone."""
    now = finished_stages(scratch)
    for name, token in now.items():
        assert done.finished_stages.setdefault(name, token) == token, f"the stage {name} ran again"
    for name in set(done.finished_stages) - set(now):
        del done.finished_stages[name]  # committed


def check(project: Path, sessions: int) -> None:
    """What is left is what a clean run leaves: each key committed once, with the right content."""
    import h5py

    for number in range(sessions):
        path = project / "nwb" / f"s{number}.nwb"
        records = read_records(path)
        assert sorted(record.step for record in records) == ["first", "other", "second"], path
        assert len({record.key for record in records}) == 3
        with h5py.File(path) as file:
            raw = file["acquisition/lever/data"][()]
            for step, added in (("first", 2), ("second", 5), ("other", 1)):
                assert (file[f"processing/behavior/Counted_{step}/data"][()] == raw + added).all()
            assert len(file["processing/behavior"]) == 3
        assert not list(path.parent.glob(".*.journal"))
        assert not list(path.parent.glob(".*.partial"))


def lines(counter: Path) -> list[dict[str, object]]:
    """What the computations told."""
    return [json.loads(line) for line in counter.read_text().splitlines()]


def left_over(folder: Path) -> list[str]:
    """Processes that still work for a project below `folder`, after a moment to end."""
    end = time.monotonic() + 20
    while True:
        found = []
        for process in psutil.process_iter(["cmdline", "environ", "pid"]):
            environ = process.info["environ"] or {}
            if process.pid != os.getpid() and environ.get("TESTS_COUNTER", "").startswith(str(folder)):
                found.append(" ".join(process.info["cmdline"] or []))
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)
