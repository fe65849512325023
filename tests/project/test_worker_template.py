"""Workers that are forked from a Python which has imported what they need."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
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
    end = time.monotonic() + 60
    for pid in map(int, done.stdout.split()):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.05)
