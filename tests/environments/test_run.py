"""The tool's process ends with the one that started it, and with what it started itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nwbpipe_kit
from nwbpipe import environments
from nwbpipe.environments import Tool, _run, _worker
from nwbpipe.errors import ToolCrashedError, ToolMemoryError, ToolTimeoutError

KIT = Path(nwbpipe_kit.__file__).parent
NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"))

PARENT = """
import sys
from pathlib import Path
from nwbpipe import environments
from nwbpipe.environments import Tool
folder = Path(sys.argv[1])
found = environments.find(Tool("numpy", ("numpy>=1.20",)))
environments.run(found, "tests.fixtures._family_compute", {"threads": 1}, scratch=folder, log=folder / "log")
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wait_for(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def pids(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("*.pid")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_parent_takes_the_tool_and_its_children_with_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=root) as parent:
        wait_for(lambda: len(pids(tmp_path)) == 2)
        family = pids(tmp_path)
        assert all(alive(pid) for pid in family)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in family))


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the orphans of Linux")
def test_a_run_leaves_no_zombie_to_a_process_1_that_waits_for_none(tmp_path: Path) -> None:
    code = (
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "import psutil\n"
        "from nwbpipe import environments\n"
        "from nwbpipe.environments import Tool\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans become ours\n"
        "found = environments.find(Tool('numpy', ('numpy>=1.20',), preload=('h5py',)))\n"
        "for number in range(3):\n"
        "    folder = Path(sys.argv[1]) / str(number)\n"
        "    folder.mkdir()\n"
        "    options = {'scratch': folder, 'log': folder / 'log'}\n"
        "    environments.run(found, 'tests.fixtures._environment_compute', {'threads': 1}, **options)\n"
        "print(sum(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process().children()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == ["0"], done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_time_limit_ends_the_whole_family(tmp_path: Path, limit_from: Callable[[Callable[[], bool]], None]) -> None:
    found = environments.find(NUMPY)
    limit_from(lambda: len(pids(tmp_path)) == 2)
    with pytest.raises(ToolTimeoutError, match=r"time limit of 0\.5 s"):
        environments.run(
            found,
            "tests.fixtures._family_compute",
            {"threads": 1},
            scratch=tmp_path,
            log=tmp_path / "log",
            timeout=0.5,
        )
    family = pids(tmp_path)
    assert len(family) == 2
    wait_for(lambda: not any(alive(pid) for pid in family))


def test_what_an_earlier_try_left_is_not_taken_for_this_ones_end(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text('{"error": {"type": "OldError", "message": "of the first try"}}')
    with pytest.raises(ToolCrashedError) as caught:
        environments.run(
            environments.find(NUMPY),
            "tests.fixtures._environment_compute",
            {"end": "SIGSEGV"},
            scratch=tmp_path,
            log=tmp_path / "log",
        )
    assert "OldError" not in str(caught.value)


def test_a_compute_module_has_its_parts_and_the_kit_in_every_process(tmp_path: Path) -> None:
    environment = environments.find(NUMPY)
    result = environments.run(
        environment, "tests.fixtures._parts_compute", {"threads": 1}, scratch=tmp_path, log=tmp_path / "log"
    )
    assert result.summary["answers"] == 3 * [8, [1.0, 1.0, 1.0], 0]


def test_a_kit_that_is_installed_with_the_tool_is_not_taken(tmp_path: Path) -> None:
    other = tmp_path / "site" / "nwbpipe_kit"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    (other / "traces.py").write_text("raise ImportError('that of another version')")
    code = (
        "import importlib.util, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(other.parent)!r})\n"
        f"spec = importlib.util.spec_from_file_location('worker', {_worker.__file__!r})\n"
        "worker = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(worker)\n"
        f"worker.add_packages(Path({str(tmp_path / 'packages')!r}), {{'nwbpipe_kit': {str(KIT)!r}}})\n"
        "import nwbpipe_kit.traces; print(nwbpipe_kit.traces.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == KIT / "traces.py"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_under_the_log_costs_the_log_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = environments.run(
        environments.find(NUMPY), "tests.fixtures._talking_compute", {}, scratch=tmp_path, log=Path("/dev/full")
    )
    assert outcome.summary["lines"] == 5000
    assert [record.getMessage() for record in caplog.records if record.name == "nwbpipe"] == [
        "the log ends here: /dev/full: No space left on device"
    ]


@pytest.mark.parametrize("enabled", [True, False])
def test_packages_that_pip_put_into_the_user_s_own_folder_are_found(
    enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("site.ENABLE_USER_SITE", enabled)  # as of `pip install --user nwbpipe`
    found = environments.find(NUMPY)
    result = environments.run(
        found, "tests.fixtures._environment_compute", {}, scratch=tmp_path, log=tmp_path / "log"
    )
    assert ("PYTHONNOUSERSITE" in result.summary["variables"]) is not enabled


def test_a_kill_by_the_kernel_is_one_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter((3, 4))
    monkeypatch.setattr(_run, "count_memory_kills", lambda: next(counts))
    with pytest.raises(ToolMemoryError, match="numpy ran out of memory"):
        environments.run(
            environments.find(NUMPY),
            "tests.fixtures._environment_compute",
            {"end": "SIGKILL"},
            scratch=tmp_path,
            log=tmp_path / "log",
        )


def test_of_a_progress_bar_the_last_frame_is_told(tmp_path: Path) -> None:
    words = r"print('  0%|  | 0/9\r 50%|# | 5/9\r100%|##| 9/9'); print('ValueError: no spikes')"
    child = subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert _run._follow(child, tmp_path / "log", None, None) == (["100%|##| 9/9", "ValueError: no spikes"], False)
