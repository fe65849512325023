"""Every way to stop a commit leaves the old file or the new one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import pytest

from nwbpipe.files._journal import SIGNATURE, find_superblock
from tests.faults.harness import Harness, Subject
from tests.faults.mutants import PATCHES, SUBJECTS, mutant
from tests.faults.scenarios import KINDS, build, content


@pytest.mark.parametrize("kind", KINDS)
def test_old_or_new(kind: str, tmp_path: Path, tally: Counter[str], long: bool) -> None:
    report = Harness(Subject(), build(kind, tmp_path), tmp_path).explore(200 if long else 10)
    tally.update(report.cases)
    assert report.failures == []
    assert sum(report.cases.values()) > 400
    assert min(report.outcomes["old"], report.outcomes["new"]) > 50, "the faults came too late or too early to test"


@pytest.mark.parametrize("name", [*SUBJECTS, *PATCHES])
def test_a_broken_commit_is_caught(name: str, tmp_path: Path) -> None:
    """The suite is worth as much as the mistakes that it finds."""
    for seed in range(5):
        for kind in ("append", "remove", "edit"):
            folder = tmp_path / f"{kind} {seed}"
            folder.mkdir()
            scenario = build(kind, folder)
            with mutant(name) as subject:
                harness = Harness(subject, scenario, folder, seed)
                for report in harness.steps(10):
                    if report.failures:
                        return
    pytest.fail(f"not noticed: {name}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_harness_takes_for_granted_of_hdf5(kind: str, tmp_path: Path) -> None:
    """A reader ignores a longer tail, and refuses a file without its whole signature."""
    scenario = build(kind, tmp_path)
    path = tmp_path / "a.h5"
    path.write_bytes(scenario.old)
    old = content(path)
    path.write_bytes(scenario.old + bytes(range(256)) * 100)
    assert content(path) == old
    place = find_superblock(scenario.old)
    assert place is not None
    for blanked in (1, 4, 8):
        data = bytearray(scenario.new)
        data[place : place + blanked] = bytes(blanked)
        path.write_bytes(data)
        assert data[place : place + 8] != SIGNATURE
        with pytest.raises(OSError, match="signature"):
            h5py.File(path, "r", locking=False)
