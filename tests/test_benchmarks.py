"""The benchmarks run, at a small size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.project import offer_processors

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


def test_cpu_of_orphans_is_counted(tmp_path: Path) -> None:
    """What a tool leaves behind is waited for: its CPU is part of the tool's."""
    burn = "import time\nwhile time.process_time() < 0.6: pass\n"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    script = (
        "import os, sys; from pathlib import Path; from benchmarks.peers import _measure as m; m.become_reaper()\n"
        f"folder, words = Path(sys.argv[1]), [sys.executable, '-c', {orphan!r}]\n"
        "assert m.measure([words, words], folder, os.environ).cpu > 1.2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_of_a_benchmark_run_the_code_beside_it(tmp_path: Path) -> None:
    """An installation elsewhere may be changed while they run: a first run of nwbpipe once did nothing so."""
    variables = offer_processors(tmp_path)
    code = "import nwbpipe; print(nwbpipe.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == ROOT / "src/nwbpipe/__init__.py"
