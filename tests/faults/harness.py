"""Breaks commits in every way, and judges what is left.

Two outcomes are allowed once recovery has had its turn: the old file byte for byte, or the new one byte for byte.
Before it, a plain HDF5 reader must see the old file (a longer tail is nothing to it), the new one, or refuse.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nwbpipe.errors import NwbpipeError
from nwbpipe.files._commit import FileCommit, InterruptedCommitError, Placement
from nwbpipe.files._journal import SIGNATURE, find_superblock, journal_path
from nwbpipe.files._os import System
from nwbpipe.files._recover import recover_locked
from tests.faults.scenarios import Scenario
from tests.faults.systems import Call, Disk, Fault, Faulty, Killed, Quiet, Recording

ERRORS = ("EIO", "ENOSPC", "short")
DEATHS = ("kill", "kill half")


@dataclass
class Subject:
    """The code under test; the mutants put theirs in its place."""

    commit: type[FileCommit] = FileCommit
    placement: type[Placement] = Placement


@dataclass
class Report:
    """How many cases ran, and what went wrong."""

    cases: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


class Harness:
    """One scenario, in one folder."""

    def __init__(self, subject: Subject, scenario: Scenario, folder: Path, seed: int = 0) -> None:
        self.subject, self.scenario, self.folder = subject, scenario, folder
        self.rng = random.Random(f"{seed} {scenario.name}")
        self.report = Report()
        self.target = folder / "target.h5"
        self.journal = journal_path(self.target)
        place = find_superblock(scenario.old)
        assert place is not None
        self.superblock = place

    # Acting -------------------------------------------------------------------------------------------

    def put(self, target: bytes, journal: bytes | None) -> None:
        """Make the folder look so; the target keeps its inode."""
        if self.target.exists():
            with self.target.open("rb+") as file:
                file.write(target)
                file.truncate()
        else:
            self.target.write_bytes(target)
        self.journal.unlink(missing_ok=True)
        if journal is not None:
            self.journal.write_bytes(journal)

    def commit(self, system: System) -> BaseException | None:
        """Commit the scenario; return what it raised."""
        descriptor = system.open(self.target)
        try:
            self.subject.commit(self.target, descriptor, self.scenario, system).run()
        except (Exception, Killed) as error:
            return error
        finally:
            system.close(descriptor)
        return None

    def recover(self, system: System | None = None) -> BaseException | None:
        """Recover; return what it raised."""
        try:
            recover_locked(self.target, 0, system or Quiet(), self.subject.placement)
        except (Exception, Killed) as error:
            return error
        return None

    # Judging ------------------------------------------------------------------------------------------

    def fail(self, case: str, what: str) -> None:
        self.report.failures.append(f"{self.scenario.name}: {case}: {what}")

    def judge_reader(self, case: str) -> None:
        """What would a plain reader make of the target now?"""
        data, old, new = self.target.read_bytes(), self.scenario.old, self.scenario.new
        if data[: len(old)] == old or data[: len(new)] == new:
            return
        if data[self.superblock : self.superblock + len(SIGNATURE)] == SIGNATURE:
            self.fail(case, "before recovery, a mixture is open to readers")

    def judge(self, case: str, *, must: str | None = None) -> None:
        """Let recovery have its turn; then it must be the old file or the new one."""
        error = self.recover()
        data = self.target.read_bytes()
        outcome = {self.scenario.old: "old", self.scenario.new: "new"}.get(data, "neither")
        self.report.outcomes[outcome] += 1
        if error is not None:
            self.fail(case, f"recovery raised {error!r}")
        elif outcome == "neither":
            self.fail(case, "neither the old file nor the new one")
        elif must is not None and outcome != must:
            self.fail(case, f"it is the {outcome} file, and must be the {must} one")
        if self.journal.exists() and error is None:
            self.fail(case, "the journal was left behind")

    # Breaking -----------------------------------------------------------------------------------------

    def record(self) -> list[Call]:
        """Commit once undisturbed; return its calls."""
        self.put(self.scenario.old, None)
        system = Recording()
        error = self.commit(system)
        if error is not None:
            self.fail("undisturbed", repr(error))
        self.judge_reader("undisturbed")
        self.judge("undisturbed", must="new")
        self.report.cases["undisturbed"] += 1
        return system.calls

    def failing_calls(self, count: int) -> None:
        """Every call of the commit fails in turn, once or from then on."""
        for at in range(count):
            for how in ERRORS:
                for lasting in (False, True) if how != "short" else (False,):
                    case = f"call {at} fails ({how}{', and all after it' if lasting else ''})"
                    self.put(self.scenario.old, None)
                    error = self.commit(Faulty(Fault(at, how, lasting)))
                    self.judge_reader(case)
                    self.judge(case, must=_owed(error))
                    if error is not None and not isinstance(error, OSError | InterruptedCommitError | NwbpipeError):
                        self.fail(case, f"raised {error!r}")
                    self.report.cases["call fails"] += 1

    def deaths(self, count: int) -> None:
        """The process dies at every call: before it, after it, or half-way through a write."""
        for at in range(count):
            for how in DEATHS:
                case = f"{how} at call {at}"
                self.put(self.scenario.old, None)
                self.commit(Faulty(Fault(at, how)))
                self.judge_reader(case)
                self.judge(case)
                self.report.cases["killed"] += 1

    def broken_recoveries(self, count: int) -> None:
        """The process dies at every call of the commit, and then recovery fails or dies at every call."""
        for at in range(count):
            self.put(self.scenario.old, None)
            self.commit(Faulty(Fault(at, "kill half")))
            if not self.journal.exists():
                continue
            state = self.target.read_bytes(), self.journal.read_bytes()
            system = Recording()
            self.recover(system)
            for step in range(len(system.calls)):
                for how in ("EIO", "kill", "kill half"):
                    case = f"killed at call {at}, then recovery: {how} at call {step}"
                    self.put(*state)
                    self.recover(Faulty(Fault(step, how)))
                    self.judge_reader(case)
                    self.judge(case)
                    self.report.cases["recovery breaks"] += 1

    def power_failures(self, calls: list[Call], samples: int) -> None:
        """Power fails after every call: un-synced writes are lost, torn, or come in another order."""
        disk = Disk(self.rng, {self.target: self.scenario.old}, {self.target: True, self.journal: False})
        for at, call in enumerate(calls, 1):
            disk.do(call)
            for mode in ("none", "all", *["some"] * samples):
                case = f"power fails after call {at} of {len(calls)} ({mode} of what was pending is written)"
                left = disk.fail(mode)
                self.put(left[self.target], left.get(self.journal))
                self.judge_reader(case)
                self.report.cases["power fails"] += 1
                if at == len(calls):
                    if self.journal.exists():
                        self.fail(case, "the commit returned, and its journal may come back")
                    self.judge(case, must="new")
                elif mode == "some" and self.journal.exists() and self.rng.random() < 0.3:
                    self.power_fails_again(case)
                else:
                    self.judge(case)

    def power_fails_again(self, case: str) -> None:
        """Power fails once more, during recovery."""
        before, journal = self.target.read_bytes(), self.journal.read_bytes()
        system = Recording()
        self.recover(system)
        disk = Disk(
            self.rng,
            {self.target: before, self.journal: journal},
            {self.target: True, self.journal: True},
        )
        for call in system.calls[: self.rng.randint(0, len(system.calls))]:
            disk.do(call)
        left = disk.fail("some")
        self.put(left[self.target], left.get(self.journal))
        self.judge_reader(f"{case}, and again during recovery")
        self.judge(f"{case}, and again during recovery")
        self.report.cases["power fails twice"] += 1

    def explore(self, samples: int) -> Report:
        """All of it."""
        for _ in self.steps(samples):
            pass
        return self.report

    def steps(self, samples: int) -> Iterator[Report]:
        """All of it, with a pause after each kind."""
        calls = self.record()
        yield self.report
        self.deaths(len(calls))
        yield self.report
        self.failing_calls(len(calls))
        yield self.report
        self.power_failures(calls, samples)
        yield self.report
        self.broken_recoveries(len(calls))
        yield self.report


def _owed(error: BaseException | None) -> str | None:
    """What the caller was told."""
    if error is None:
        return "new"
    if isinstance(error, InterruptedCommitError):
        return "new" if error.committed else None
    return "old"
