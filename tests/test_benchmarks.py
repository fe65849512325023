"""The benchmarks run, at a small size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.peers._kills import choose_moments
from benchmarks.project import offer_processors
from benchmarks.scale._lab import Lab
from benchmarks.scale._model import fit_costs

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow
@pytest.mark.long
def test_the_benchmarks_run_and_clear_up(tmp_path: Path) -> None:
    done = run("--quick", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| --- \|", done.stdout, re.MULTILINE)) >= 6, done.stdout
    assert "ABOVE" not in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.long
def test_the_benchmark_of_scale_runs(tmp_path: Path) -> None:
    """It is not among those that run unless they are named."""
    done = run("scale", "--quick", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| --- \|", done.stdout, re.MULTILINE)) == 4, done.stdout
    assert done.stdout.count("| right |") == 5, done.stdout
    assert not list(tmp_path.iterdir())


def test_results_that_are_missing_or_there_twice_are_counted(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", 2)
    assert lab.runs == 4
    assert lab.judge() == "2 missing"
    for number in range(2):
        record = tmp_path / f"lab/state/runs/done/bench/000000/w1000/{number}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("{}")
    assert lab.judge() == "2 missing, 1 committed twice"


def test_costs_are_fitted_by_a_line_and_what_is_beside_it_is_told() -> None:
    line = fit_costs({50: 15.0, 200: 30.0, 1000: 110.0})
    assert (line.fixed, line.per_session, line.predict(10_000)) == pytest.approx((10.0, 0.1, 1010.0))
    assert line.deviations == pytest.approx((0.0, 0.0, 0.0))
    curve = fit_costs({size: 1e-3 * size**2 for size in (50, 200, 1000)})
    assert max(curve.deviations) > 0.5  # what grows faster than the sessions shows


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


FORGETFUL = """
import os, sys
from pathlib import Path
from benchmarks.peers import _kills, _tools
from benchmarks.peers._setup import Peers

WORK = '''
import subprocess, sys, time
from pathlib import Path
import h5py, numpy as np
if Path("slow").exists():  # a process that a kill of the group alone would miss
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
for number in range(2):
    if not Path(f"mark{number}").exists():
        with h5py.File(f"nwb/s{number}.nwb", "r+") as file:
            values = file["acquisition/signal/data"][()].astype("f8").reshape(-1, 1000, 4)
            file["processing/ecephys/Rms_1000/data"] = np.sqrt((values**2).mean(axis=1))
        while Path("slow").exists():
            time.sleep(0.01)
        Path(f"mark{number}").touch()
'''

class Forgetful(_tools.Pipeline):
    kind = "forgetful"

    def begin_again(self):
        super().begin_again()
        (self.folder / "slow").touch()

    def commands(self):
        return [[sys.executable, "-c", WORK]]

    def known(self):
        return {number for number in range(2) if (self.folder / f"mark{number}").exists()}

    def mend(self, cost):
        return self.restore_spoiled({0, 1} - self.known())

    def run(self):
        (self.folder / "slow").unlink()
        self.run = super().run
        return self.run()

pipeline = Forgetful(Path(sys.argv[1]) / "forgetful", 2, Peers(Path(sys.executable), None, 0))
damage = _kills.kill_once(pipeline, _kills.Moment(changes=1, delay=1), 0)
assert (damage.unknown, damage.false, damage.silent, damage.unreadable) == (1, 0, 0, 0), damage
assert damage.work == {"file from raw": 1}, damage
assert (damage.end["double"], damage.end["missing"]) == (0, 0), damage
assert _kills.wait_for_orphans(None, 0) == 0
"""


def test_a_tool_that_is_killed_before_it_notes_its_result_needs_work_by_hand(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_all_tools_are_killed_at_the_same_moments() -> None:
    moments = choose_moments(5, 6)
    assert moments == choose_moments(5, 6)
    assert moments != choose_moments(5, 6, seed=1)
    shares = [moment.share for moment in moments[::2]]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    assert all(1 <= moment.changes <= 6 for moment in moments[1::2])


def test_sizes_are_of_the_comparison_alone() -> None:
    done = run("startup", "--sizes", "20")
    assert done.returncode == 2
    assert "--sizes" in done.stderr


def test_the_commands_of_a_benchmark_run_the_code_beside_it(tmp_path: Path) -> None:
    """An installation elsewhere may be changed while they run: a first run of nwbpipe once did nothing so."""
    variables = offer_processors(tmp_path)
    code = "import nwbpipe; print(nwbpipe.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == ROOT / "src/nwbpipe/__init__.py"
