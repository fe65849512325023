"""The control group of a job tells that the kernel killed one of its processes for lack of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.machine import count_machine_memory_kills, count_memory_kills


@pytest.mark.parametrize(
    ("line", "file", "text"),
    [
        ("0::/job/step", "job/step/memory.events", "low 0\noom 5\noom_kill 2\noom_group_kill 0\n"),
        ("4:memory:/job/step", "memory/job/step/memory.oom_control", "under_oom 0\noom_kill 2\n"),
        ("0::/", "memory.events", "oom_kill 2\n"),  # in a container
        (
            "4:memory:/docker/1",
            "memory/memory.oom_control",
            "oom_kill 2\n",
        ),  # in a container that sees its path outside
    ],
)
def test_kills_are_counted_in_the_innermost_group(line: str, file: str, text: str, tmp_path: Path) -> None:
    assert count_memory_kills(tmp_path) == 0
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"9:freezer:/job\n{line}\n")
    path = tmp_path / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    if "job" in file:
        (path.parent.parent / path.name).write_text("oom_kill 7\n")  # of other steps, too
    assert count_memory_kills(tmp_path) == (7 if "job" in file else 0)
    path.write_text(text)
    assert count_memory_kills(tmp_path) == 2


def test_kills_of_the_whole_machine(tmp_path: Path) -> None:
    assert count_machine_memory_kills(tmp_path) == 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 12\noom_kill 3\n")
    assert count_machine_memory_kills(tmp_path) == 3
