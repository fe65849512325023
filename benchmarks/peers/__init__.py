"""The same work by nwbpipe, Snakemake, DataJoint and a plain pool of processes.

Each session file holds 100,000 samples of 4 channels. The work: open it with pynwb, compute the RMS in windows, add
a series, write, validate. CPU is user and system time of all processes, orphans and the database's server included.

Then each tool that knows what is done is killed at random moments, and run again until all is done. And a change to
one file is killed before each single write to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import note, table
from benchmarks.peers._every_write import kill_before_every_write
from benchmarks.peers._kills import compare_kills
from benchmarks.peers._measure import Cost
from benchmarks.peers._setup import Peers, prepare_peers
from benchmarks.peers._tools import Pipeline, list_pipelines

_SIZES = (20, 60, 200)
_KILLED_SESSIONS = 6


def run(folder: Path, *, quick: bool, sizes: Sequence[int] | None = None, kills: int | None = None) -> None:
    """Compare the tools on `sizes` sessions, and kill each `kills` times."""
    sizes = (4,) if sizes is None and quick else _SIZES if sizes is None else sizes
    kills = (2 if quick else 5) if kills is None else kills
    with prepare_peers(folder) as peers:
        for line in peers.describe():
            note(line)
        note()
        for sessions in sizes:
            _compare(folder / str(sessions), sessions, peers)
        if kills:
            compare_kills(folder / "kills", 4 if quick else _KILLED_SESSIONS, kills, peers)
            kill_before_every_write(folder / "writes", 2 if quick else None)


def _compare(folder: Path, sessions: int, peers: Peers) -> None:
    """Each tool in turn: from scratch, idle, one input changed, and a second method beside the first."""
    rows = []
    for pipeline in list_pipelines(folder, sessions, peers):
        scratch = pipeline.run()
        outcome = _judge(pipeline, scratch)
        idle = pipeline.run() if pipeline.notices else None
        changed, kept = _change(pipeline, keep_time=False), _change(pipeline, keep_time=True)
        rows.append([
            pipeline.name, f"{scratch.cpu / sessions:.2f}", f"{scratch.wall:.0f}", outcome, _say(idle), changed, kept,
            _add_method(pipeline),
        ])  # fmt: skip
        note(f"<!-- {' | '.join(rows[-1])} -->")  # a long run tells what it has
        pipeline.remove()
    table(
        [f"{sessions} sessions", "CPU s a session", "wall s", "results", "idle, CPU s", "an input changed",
         "changed, its time put back", "a second method"],
        rows,
    )  # fmt: skip
    note()


def _judge(pipeline: Pipeline, cost: Cost) -> str:
    """Say what became of the results; a tool that ended with an error, or left work, tells why."""
    outcome = pipeline.judge()
    if cost.code or outcome != "right":
        note(f"<!-- {pipeline.name}: exit {cost.code}, {outcome}\n{cost.output[-400:]}-->")
    return f"{outcome}, exit {cost.code}" if cost.code else outcome


def _say(cost: Cost | None) -> str:
    return f"{cost.cpu:.2f}" if cost else "–"


def _change(pipeline: Pipeline, *, keep_time: bool) -> str:
    """Change one session's data, run again, and say what became of its result."""
    if not pipeline.notices:
        return "–"
    pipeline.change(0, keep_time=keep_time)
    cost = pipeline.run()
    outcome = _judge(pipeline, cost)
    if outcome != "right":
        pipeline.redo(0)
        pipeline.run()
        return f"{outcome}; {cost.cpu:.1f} CPU s"
    return f"right; {cost.cpu:.1f} CPU s"


def _add_method(pipeline: Pipeline) -> str:
    """Add a second window; the first result must stay, and a run after it must find nothing to do."""
    if not pipeline.notices:
        return "–"
    pipeline.windows = (1000, 500)
    cost = pipeline.run()
    outcome = _judge(pipeline, cost)
    again = pipeline.run()
    rest = "" if _judge(pipeline, again) == "right" else "; the run after it fails"
    return f"{outcome}; {cost.cpu:.1f} CPU s, then {again.cpu:.1f}{rest}"
