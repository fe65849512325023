"""What a run used is measured: the memory of all its processes together, and a GPU's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool

NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"), gpu="torch")
MEGABYTE = 2**20

# Says that each of the processes in the file that the compute module wrote holds 100 MiB, and a stranger 5000.
NVIDIA = """
print("1, 5000")
print("2, [N/A]")
for file in pathlib.Path(FOLDER).glob("*.pid"):
    print(f"{file.read_text()}, 100")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts shared memory as Linux does")
def test_memory_of_a_family_and_of_the_gpu(tmp_path: Path, programs: Callable) -> None:
    programs("nvidia-smi", f"FOLDER = {str(tmp_path)!r}\n{NVIDIA}")
    found = environments.find(NUMPY)
    request = {"threads": 1, "folder": str(tmp_path), "megabytes": 150}
    usage = environments.run(
        found, "tests.fixtures._memory_compute", request, scratch=tmp_path, log=tmp_path / "log"
    ).usage
    assert 300 * MEGABYTE < usage["peak_memory_bytes"] < 450 * MEGABYTE
    assert usage["peak_gpu_memory_bytes"] == 200 * MEGABYTE
    assert usage["gpu_seconds"] > 0
    assert usage["cpu_seconds"] > 0


def test_a_tool_without_a_gpu_asks_for_none(tmp_path: Path, programs: Callable, calls: Callable) -> None:
    programs("nvidia-smi", "")
    found = environments.find(Tool("numpy", ("numpy>=1.20", "h5py>=3.8")))
    usage = environments.run(
        found, "tests.fixtures._environment_compute", {}, scratch=tmp_path, log=tmp_path / "log"
    ).usage
    assert calls("nvidia-smi") == []
    assert "gpu_seconds" not in usage
    assert usage["peak_memory_bytes"] > 10 * MEGABYTE
