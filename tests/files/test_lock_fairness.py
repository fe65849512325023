"""A process that takes the writers' lock in a loop does not keep others from it."""

from __future__ import annotations

import time
from pathlib import Path

from nwbpipe.files import hold_lock
from tests.files.helpers import child


def test_a_lock_that_is_taken_in_a_loop_is_had_soon(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    script = f"""
        first = True
        while True:
            with hold_lock(pathlib.Path({str(target)!r})):
                if first:
                    print("waiting", flush=True)
                first = False
                time.sleep(0.3)
        """
    with child(script) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(3):
            with hold_lock(target, timeout=30):
                pass


def test_nobody_is_waited_for_where_nobody_waits(tmp_path: Path) -> None:
    began = time.monotonic()
    for _ in range(20):
        with hold_lock(tmp_path / "a.nwb"):
            pass
    assert time.monotonic() - began < 2
