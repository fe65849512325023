"""`nwbpipe run --executor slurm`: Dask's workers as jobs of a real SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nwbpipe.errors import WorkError
from tests.cluster.test_slurm import all_done, computations, counter, has_begun, make_lab
from tests.fixtures.programs import wait_for
from tests.fixtures.slurm import Slurm
from tests.project.test_dask_security import list_listening
from tests.project.test_project_kills import INTERRUPTIBLE

__all__ = ["counter"]  # a fixture

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("test_processors", "own_places"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Notices:
    """A reporter that keeps notices."""

    def __init__(self) -> None:
        self.about, self.notices = "", []  # type: tuple[str, list[str]]

    def on_plan(self, states: object, about: str) -> None:
        self.about = about

    def on_start(self, state: object) -> None: ...

    def on_progress(self, state: object, fraction: float, text: str) -> None: ...

    def on_end(self, state: object, ended: object) -> None: ...

    def on_notice(self, text: str) -> None:
        self.notices.append(text)


def test_a_lost_worker_is_replaced_and_nothing_is_open(
    slurm: Slurm, tmp_path: Path, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker, whose job is cancelled under the first of two runs."""
    monkeypatch.chdir(tmp_path)
    project = make_lab(tmp_path, 2, seconds=6, retries=1, workers=1)
    before, ports = list_listening(), set()

    def disturb() -> None:
        wait_for(lambda: has_begun(counter), "a run to begin", 120)
        ports.update(list_listening(before))
        (job,) = slurm.jobs()
        slurm.ask("scancel", job.split()[0])

    thread = threading.Thread(target=disturb)
    thread.start()
    reporter = Notices()
    summary = project.run(reporter=reporter)
    thread.join()
    assert (summary.done, summary.failed) == (2, [])
    assert all_done(project)
    assert max(computations(counter).values()) <= 2
    assert reporter.about == "1 Dask workers in jobs of slurm"
    assert {address for address, _ in ports} == {"127.0.0.1"}
    assert len(list((tmp_path / "lab/state/logs/dask").glob("nwbpipe-standard-*.log"))) == 2
    assert list((tmp_path / "lab/state/dask").iterdir()) == []
    assert list(tmp_path.glob("*.out")) == []
    slurm.wait(30)
    assert "JobState=COMPLETED" in slurm.ask("scontrol", "--oneliner", "show", "job")


def test_a_worker_whose_runner_is_killed_keeps_its_run(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    project = make_lab(tmp_path, 1, seconds=8, workers=1)
    words = [sys.executable, "-m", "nwbpipe", "run", f"--project={project.spec.path}"]
    runner = subprocess.Popen(words)
    wait_for(lambda: has_begun(counter), "a run to begin", 120)
    runner.kill()
    runner.wait()
    other = {**os.environ, "NWBPIPE_SCRATCH": str(tmp_path / "other")}  # as on another machine
    done = subprocess.run([*words, "--executor", "local"], env=other, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(computations(counter).values()) == [1]
    assert all_done(project)
    slurm.wait(120)  # the worker ends without its scheduler


def test_a_refusal_ends_the_run_in_slurm_s_words(slurm: Slurm, tmp_path: Path) -> None:
    project = make_lab(tmp_path, 1, more='queue = "nowhere"\n')
    began = time.monotonic()
    with pytest.raises(WorkError, match="invalid partition specified: nowhere"):
        project.run()
    assert time.monotonic() - began < 60
    assert list((tmp_path / "lab/state/leases").glob("*.json")) == []


def test_ctrl_c_ends_in_order_and_a_drained_node_is_told(slurm: Slurm, tmp_path: Path) -> None:
    project = make_lab(tmp_path, 1)
    node = slurm.ask("sinfo", "--noheader", "--format=%n")
    slurm.ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    words = [sys.executable, "-m", "nwbpipe", "run", f"--project={project.spec.path}"]
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "no worker of the kind standard runs yet" in line:
                break
        assert "PENDING" in lines[-1], lines
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 1
        assert "stopped; run again to go on" in rest
        assert "Traceback" not in rest
    finally:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    slurm.wait(60)
