"""Workers that are forked from a Python which has imported what they need."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project.execute._local import LocalExecutor, _Worker
from nwbpipe.project.execute._worker_template import WorkerTemplate, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux alone")


@pytest.fixture
def template() -> Iterator[WorkerTemplate]:
    template = WorkerTemplate()
    yield template
    template.end()


def take(events: queue.SimpleQueue[Any]) -> tuple[_Worker, dict[str, Any] | None]:
    worker, message = events.get(timeout=120)
    return worker, message


def test_each_fork_is_a_worker_of_its_own(template: WorkerTemplate) -> None:
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    first, second = _Worker(events, template), _Worker(events, template)
    ready = {}
    for _ in range(2):
        worker, message = take(events)
        assert message is not None
        ready[worker] = message["ready"]
    assert ready == {first: first.process.pid, second: second.process.pid}
    assert len({first.process.pid, second.process.pid, template.process.pid, os.getpid()}) == 4
    assert [os.getsid(pid) for pid in ready.values()] == list(ready.values())
    with pytest.raises(subprocess.TimeoutExpired):
        second.process.wait(0.01)
    first.process.kill()
    assert take(events) == (first, None)
    first.process.wait(20)
    first.end()
    first.process.send_signal(signal.SIGKILL)  # to none: it has ended
    assert psutil.pid_exists(second.process.pid)
    second.end()
    assert take(events) == (second, None)
    second.process.wait(20)


def test_a_worker_outlives_its_template_and_the_next_has_a_new_one() -> None:
    executor = LocalExecutor(ExecutorSpec(workers=2))
    first = executor._find_template()
    assert first is executor._find_template()
    assert first is not None
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    worker = _Worker(events, first)
    assert take(events)[1] is not None
    first.process.kill()
    first.process.wait()
    assert psutil.pid_exists(worker.process.pid)
    lost = _Worker(events, first)
    assert take(events) == (lost, None)
    assert lost.process.wait(20) == -signal.SIGKILL
    lost.end()
    second = executor._find_template()
    assert second is not None
    assert second is not first
    worker.end()
    assert take(events) == (worker, None)
    executor.close()
    assert second.process.returncode == 0


def test_one_worker_is_started_by_itself() -> None:
    assert LocalExecutor(ExecutorSpec(workers=1))._find_template() is None


def test_template_and_workers_end_with_a_runner_that_is_killed() -> None:
    code = """
        import os, queue, signal
        from nwbpipe.project.execute._local import _Worker
        from nwbpipe.project.execute._worker_template import WorkerTemplate
        events, template = queue.SimpleQueue(), WorkerTemplate()
        worker = _Worker(events, template)
        events.get(timeout=120)
        print(template.process.pid, worker.process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_for_end(map(int, done.stdout.split()))


def wait_for_end(pids: Iterable[int]) -> None:
    """Wait until processes have ended."""
    end = time.monotonic() + 60
    for pid in pids:
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.05)


_OWN_PROCESS = """
    import os, queue, signal, sys, tempfile
    sys.path.insert(0, os.getcwd())  # as `python -m nwbpipe` has it, which starts in that folder
    from nwbpipe.machine import claim_process
    from nwbpipe.project._model import ExecutorSpec
    from nwbpipe.project.execute._local import LocalExecutor, _Worker
    from nwbpipe.project.execute._worker_template import Fork
    claim_process()
    signal.signal(signal.SIGTERM, lambda *_: None)
    secret = tempfile.TemporaryFile()
    executor = LocalExecutor(ExecutorSpec(workers=WORKERS))
    template, events = executor._find_template(), queue.SimpleQueue()
    assert type(template.process) is Fork
    worker = _Worker(events, template)
    assert "ready" in events.get(timeout=120)[1]
"""


def run_own_process(code: str, *, workers: int = 2, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code after that which makes an executor in a process of nwbpipe's own."""
    whole = textwrap.dedent(_OWN_PROCESS).replace("WORKERS", str(workers)) + textwrap.dedent(code)
    words = [sys.executable, "-c", whole]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=200, cwd=cwd)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_template_of_a_command_is_its_fork_and_has_nothing_else_of_it(tmp_path: Path, workers: int) -> None:
    code = """
        import psutil
        process = psutil.Process(template.process.pid)
        files = {os.readlink(f"/proc/{process.pid}/fd/{name}") for name in os.listdir(f"/proc/{process.pid}/fd")}
        files = {name for name in files if not name.startswith("socket:")} - {os.readlink("/proc/self/fd/2")}
        assert files == {os.devnull}, files
        assert os.getsid(process.pid) == process.pid != os.getpid()
        caught = next(line for line in open(f"/proc/{process.pid}/status") if line.startswith("SigCgt"))
        assert not int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1
        executor._workers.append(worker)
        executor.close()
        assert template.process.wait(20) == 0 == template.process.poll()
        print("ended")
    """
    done = run_own_process(code, workers=workers, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_a_fork_of_a_command_ends_when_it_is_killed(tmp_path: Path) -> None:
    code = """
        print(template.process.pid, worker.process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run_own_process(code, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_for_end(map(int, done.stdout.split()))


def test_a_fork_of_a_command_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    code = """
        executor.close()
        import nwbpipe.project.execute._worker_template as module
        module.serve = lambda _: print(os.getcwd() in sys.path, os.environ["PYTHONPATH"], file=sys.stderr, flush=True)
        os.environ["PYTHONPATH"] = os.pathsep.join(["", "relative", "/an/absolute/folder"])
        sys.path.append(os.path.abspath("relative"))
        module._fork_template(0).wait(20)
    """
    done = run_own_process(code, cwd=tmp_path)
    assert done.stderr == "False /an/absolute/folder\n"
