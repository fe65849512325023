"""Scale, run for once: a thousand sessions converted and processed, by workers here and on a Dask cluster.

Each session has a raw file of 80 kB and a spec of three lines; it is converted, and the RMS of its signal computed.
CPU is user and system time of all processes. Memory is anonymous: what a process holds itself.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks._report import note, table
from benchmarks.peers._measure import become_reaper, read_children_cpu, wait_for_orphans
from benchmarks.project import offer_processors
from benchmarks.scale._cluster import Cluster
from benchmarks.scale._lab import Lab
from benchmarks.scale._model import describe_costs
from benchmarks.scale._watch import Watched, measure_cpu, start

_LOCAL = ("run", "--executor", "local", "--workers")
_WINDOWS = (10, 20, 50, 100, 200, 500, 1000, 2000)
_PARTS = (0.1, 0.5, 1.0)
_FAR = 100_000
_SETTLE_S = 2.1  # what has just changed is not kept in the index

Costs = dict[str, dict[int, float]]  # by what it is, and the number of sessions


def run(folder: Path, *, quick: bool, sizes: Sequence[int] = ()) -> None:
    if not Path("/proc/self/status").exists():
        note("memory and CPU of processes are read from /proc, which this system lacks")
        return
    if quick:
        measure_scale(folder, sizes or (1, 3), taken_over=(3, 0), steps=2, repeats=1)
    else:
        measure_scale(folder, sizes or (50, 200, 1000), taken_over=(100, 100), steps=len(_WINDOWS), repeats=3)


def measure_scale(
    folder: Path, sizes: Sequence[int], *, taken_over: tuple[int, int], steps: int, repeats: int
) -> None:
    """Print the tables.

    Parameters
    ----------
    folder : Path
    sizes : sequence of int
        Numbers of sessions; the last one also on Dask workers.
    taken_over : (int, int)
        Numbers of sessions of the runs whose runner is killed, with workers here and on a cluster; 0: none.
    steps : int
        Number of workers, and of steps, at one session file.
    repeats : int
        How often a warm status is measured.
    """
    become_reaper()
    variables = offer_processors(folder) | {"NWBPIPE_TRUST": str(folder)}
    del variables["PYTHONPYCACHEPREFIX"]  # nothing is compiled while it is measured
    costs: Costs = {}
    header = ["steps of one session", "workers", "seconds", "seconds a step", "results", "`nwbpipe check`"]
    table(header, [_run_one_session(folder / "one", steps, variables)])
    note()
    header = [
        "sessions", "by", "wall s", "CPU s a session", "of it the runner", "the scheduler",
        "runner, MB after 10 % / 50 % / 100 %", "its peak", "scheduler, MB", "results",
    ]  # fmt: skip
    table(header, _run_sizes(folder, sizes, variables, costs, repeats))
    note()
    header = [
        "a runner is killed halfway", "by", "runs it had ended", "under way", "computed again", "committed twice",
        "the second: s to its plan", "to its first run", "the first: s to its plan", "to its first run", "results",
    ]  # fmt: skip
    table(header, _take_over(folder, taken_over, variables))
    note()
    header = ["what", " / ".join(f"{size:,}" for size in sizes), "fixed", "a session", "deviation at each"]
    table([*header, f"{_FAR:,} sessions"], _describe_model(costs))
    note(f"\nThe last column continues a line {_FAR // sizes[-1]:,} times beyond what was measured.")


def _run_sizes(
    folder: Path, sizes: Sequence[int], variables: Mapping[str, str], costs: Costs, repeats: int
) -> Iterator[list[str]]:
    for sessions in sizes:
        lab = Lab(folder / f"local{sessions}", sessions)
        watched, cpu = measure_cpu([*_LOCAL, "2"], lab.folder, variables)
        yield _describe_run(lab, "2 workers here", watched, cpu)
        _keep_costs(lab, watched, cpu, costs)
        _measure_status(lab, variables, costs, repeats)
        lab.remove()
        lab = Lab(folder / f"joined{sessions}", sessions, joined=True)
        watched, cpu = measure_cpu([*_LOCAL, "2"], lab.folder, variables)
        yield _describe_run(lab, "2 workers here, with a step of project scope", watched, cpu)
        costs.setdefault("with a step of project scope: CPU s of the runner", {})[sessions] = watched.cpu
        lab.remove()
    lab = Lab(folder / f"dask{sizes[-1]}", sizes[-1])
    before = read_children_cpu()
    with Cluster(folder / "cluster", variables) as cluster:
        lab.use_cluster(cluster.address)
        watched = start(["run"], lab.folder, cluster.variables, {"scheduler": cluster.scheduler}).wait()
    wait_for_orphans(None)
    yield _describe_run(lab, "2 Dask workers", watched, read_children_cpu() - before, cluster.scheduler_cpu)
    lab.remove()


def _describe_run(lab: Lab, by: str, watched: Watched, cpu: float, scheduler_cpu: float | None = None) -> list[str]:
    def describe_memory(name: str) -> str:
        return " / ".join(f"{watched.read_memory_at(part, lab.runs, name) / 1e6:.0f}" for part in _PARTS)

    scheduler = "–" if scheduler_cpu is None else f"{scheduler_cpu / lab.sessions:.3f}"
    return [
        f"{lab.sessions:,}", by, f"{watched.wall:.1f}", f"{cpu / lab.sessions:.3f}",
        f"{watched.cpu / lab.sessions:.3f}", scheduler,
        describe_memory("runner"), f"{watched.read_peak() / 1e6:.0f}",
        describe_memory("scheduler") if scheduler_cpu is not None else "–", lab.judge(),
    ]  # fmt: skip


def _keep_costs(lab: Lab, watched: Watched, cpu: float, costs: Costs) -> None:
    size, files = lab.measure_state()
    for name, value in (
        ("`run`: wall s", watched.wall),
        ("`run`: s of it until its plan is there", watched.planned_s),
        ("`run`: CPU s", cpu),
        ("`run`: CPU s of the runner", watched.cpu),
        ("`run`: peak memory of the runner, MB", watched.read_peak() / 1e6),
        ("state: MB", size / 1e6),
        ("state: files", files),
    ):
        costs.setdefault(name, {})[lab.sessions] = value


def _measure_status(lab: Lab, variables: Mapping[str, str], costs: Costs, repeats: int) -> None:
    """Measure `status`: without an index and identities, and then with them."""
    cache = Path(os.environ["NWBPIPE_CACHE"])
    shutil.rmtree(cache)
    time.sleep(_SETTLE_S)
    cold, cold_cpu = measure_cpu(["status"], lab.folder, variables)
    index = sum(path.stat().st_size for path in cache.glob("projects/*.sqlite"))
    warm = [measure_cpu(["status"], lab.folder, variables) for _ in range(repeats)]
    for name, value in (
        ("`status`, cold: CPU s", cold_cpu),
        ("`status`, cold: peak memory, MB", cold.read_peak() / 1e6),
        ("`status`, warm: CPU s", median(cpu for _, cpu in warm)),
        ("`status`, warm: peak memory, MB", median(watched.read_peak() / 1e6 for watched, _ in warm)),
        ("index: MB", index / 1e6),
    ):
        costs.setdefault(name, {})[lab.sessions] = value


def _run_one_session(folder: Path, steps: int, variables: Mapping[str, str]) -> list[str]:
    """Let a worker for each step commit to the same session file."""
    lab = Lab(folder, 1, _WINDOWS[:steps])
    start([*_LOCAL, "1", "--step", "convert"], folder, variables).wait()
    watched = start([*_LOCAL, str(steps)], folder, variables).wait()
    start(["check", str(lab.locate_file(0))], folder, variables).wait()
    count = len(watched.ends)
    return [
        str(count),
        str(steps),
        f"{watched.wall:.1f}",
        f"{watched.wall / count:.2f}",
        lab.judge(),
        "valid",
    ]


def _take_over(folder: Path, sessions: tuple[int, int], variables: Mapping[str, str]) -> Iterator[list[str]]:
    lab = Lab(folder / "killed", sessions[0])
    yield _kill_and_go_on(lab, "2 workers here", [*_LOCAL, "2"], variables)
    lab.remove()
    if not sessions[1]:
        return
    lab = Lab(folder / "killed_dask", sessions[1])
    with Cluster(folder / "cluster_killed", variables) as cluster:
        lab.use_cluster(cluster.address)
        yield _kill_and_go_on(lab, "2 Dask workers", ["run"], cluster.variables)
    lab.remove()


def _kill_and_go_on(lab: Lab, by: str, words: list[str], variables: Mapping[str, str]) -> list[str]:
    """Kill a runner when half of the runs have ended, start a second one at once, and count what was done again."""
    first = start(words, lab.folder, variables)
    first.wait_for_ends(lab.runs // 2)
    first.kill()
    under_way = lab.list_leases() - {(session, step) for _, session, step, _ in first.ends}
    second = start(words, lab.folder, variables).wait()
    computed = {(session, step) for _, session, step, ending in second.ends if ending == "done"}
    return [
        f"{lab.sessions:,} sessions", by, str(len(first.ends)), str(len(under_way)), str(len(under_way & computed)),
        str(lab.count_twice()), f"{second.planned_s:.1f}", f"{second.ends[0][0]:.1f}", f"{first.planned_s:.1f}",
        f"{first.ends[0][0]:.1f}", lab.judge(),
    ]  # fmt: skip


def _describe_model(costs: Costs) -> Iterator[list[str]]:
    for name, measured in costs.items():
        digits = 0 if "files" in name else 1 if "memory" in name else 2
        yield describe_costs(name, measured, _FAR, digits)
    hours = {sessions: seconds / 3600 for sessions, seconds in costs["`run`: wall s"].items()}
    yield describe_costs("`run`: hours on two workers", hours, _FAR, 3)
