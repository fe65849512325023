"""What a node knows of another one's changes, on a real NFS; copies that the server makes."""

from __future__ import annotations

import re
import shlex
import sys
import time

import pytest

from tests.fixtures.nfs import ROOT, Guest, Network
from tests.nfs.test_locks import acknowledged, look, wait_for_line

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(1200)]
LATE_S = 10.0  # seconds: of a loaded machine; the cache's own time is 40 and more for a file that was at rest
PROJECT = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "nwb://*.nwb"
[stores]
nwb = "nwb"
state = "state"
[steps.quality]
processor = "imaging_quality"
inputs.movie = "acquisition/*"
"""


def test_a_look_at_a_file_shows_another_node_s_change(nfs_network: Network) -> None:
    a, b = nfs_network.nodes
    path = "/run/nfs4/seen.h5"
    a.python("make", path)
    watcher = b.begin_python("watch", path, 150)
    wait_for_line(watcher, "state")
    time.sleep(30)  # the cache keeps for longer what has been at rest for longer
    for number, script in enumerate(("cp seen.h5 new && mv new seen.h5", "rm seen.h5", "mv other.h5 seen.h5"), 2):
        if "other" in script:
            a.python("make", "/run/nfs4/other.h5")
            time.sleep(15)
        began = float(a.run(f"cd /run/nfs4; {script}; date +%s.%N"))
        wait_for_line(watcher, f"state {number} ", 60)
        line = next(line for line in watcher.output.splitlines() if line.startswith(f"state {number} "))
        assert float(line.split()[2]) - began < LATE_S, (script, watcher.output)
    watcher.kill()


def nwbpipe(node: Guest, *words: str) -> str:
    setting = f"cd /run/nfs4/lab; PYTHONPATH={shlex.quote(f'{ROOT}/src')}"
    return node.run(f"{setting} {shlex.quote(sys.executable)} -m nwbpipe {shlex.join(words)}", 600)


def test_the_status_of_a_project_shows_another_node_s_runs(nfs_network: Network) -> None:
    a, b = nfs_network.nodes
    a.run("mkdir -p /run/nfs4/lab/nwb")
    a.run(f"cat > /run/nfs4/lab/nwbpipe.toml <<'END'\n{PROJECT}END")
    a.python("session", "/run/nfs4/lab/nwb/s.nwb", timeout=600)
    for _ in range(2):  # the second time out of the index
        assert "done" not in nwbpipe(b, "status", "--json")
    nwbpipe(a, "run")
    assert '"done"' in nwbpipe(b, "status", "--json")
    assert '"done"' in nwbpipe(b, "status", "--json")
    nwbpipe(a, "edit", "remove", "nwb/s.nwb", "quality_twophotonseries")
    assert '"done"' not in nwbpipe(b, "status", "--json")


def test_the_server_copies_by_itself(nfs_network: Network) -> None:
    a, _ = nfs_network.nodes
    a.python("make", "/run/nfs4/large.h5", 60)
    output = a.python("copy", "/run/nfs4/large.h5", timeout=300)
    copied = re.search(r"^server (\d+) of (\d+)", output, re.MULTILINE)
    assert copied is not None, output
    assert copied[1] == copied[2]
    assert int(a.run("grep -m1 'COPY:' /proc/self/mountstats").split()[1]) > 0  # requests, of the first mount
    assert look(a, "/run/nfs4/large.h5")["names"] == ["copied_0"]


@pytest.mark.parametrize("mount", ["nfs4", "nfs3"])
def test_a_long_read_goes_on_when_the_file_is_replaced(nfs_network: Network, mount: str) -> None:
    a, b = nfs_network.nodes
    path = f"/run/{mount}/long.h5"
    a.python("make", path, 20)
    reader = b.begin_python("read", path, 30)
    wait_for_line(reader, "open")
    assert len(acknowledged(a.python("commit", path, mount, 0, 4, timeout=300))) == 4
    output = reader.wait(300)
    assert reader.returncode == 0, output
    assert re.search(r"^read [1-9]", output, re.MULTILINE), output
