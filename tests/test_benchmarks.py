"""The benchmarks run, at a small size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.long
def test_the_benchmarks_run_and_clear_up(tmp_path: Path) -> None:
    done = run("--quick", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| --- \|", done.stdout, re.MULTILINE)) >= 6, done.stdout
    assert "ABOVE" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_unknown_benchmark_is_named() -> None:
    done = run("nothing")
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "conversion" in done.stderr
