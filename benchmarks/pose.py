"""Pose: what many short videos take with DeepLabCut, whose imports take longer than each.

A network is trained for an epoch; what it finds does not matter here. Then each session's video of 30 frames is
analysed by one worker, whose runs are forks of a Python that has imported DeepLabCut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import note, spread, table
from benchmarks._watch import REPOSITORY
from benchmarks.peers._measure import become_reaper, measure
from benchmarks.project import offer_processors
from benchmarks.scale._watch import measure_cpu

FRAMES = 30
_SPEC = """\
nwbpipe: 1
subject: {{subject_id: box, species: Mus musculus, sex: F, age: P90D}}
session: {{session_id: "{number}", session_start_time: 2024-05-01T10:00:00-04:00, session_description: A benchmark.}}
sources:
  top: {{interface: ExternalVideoInterface, args: {{file_paths: [body.avi]}}, options: {{video: link}}}}
"""
_PROJECT = """\
nwbpipe = 1
[project]
name = "pose"
sessions = "raw://**/session.yaml"
output = "nwb://{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
dlc = "dlc"
state = "state"
[steps.model]
processor = "deeplabcut_train"
scope = "project"
inputs.project = "dlc://box"
params = { network = "resnet10t", epochs = 1, crop = [160, 160], learning_rate = 1e-3, evaluate_every = 1 }
[steps.pose]
processor = "deeplabcut"
inputs.model = "model"
[executor]
workers = 1
"""


def run(folder: Path, *, quick: bool) -> None:
    from nwbpipe import environments
    from nwbpipe.errors import ToolMissingError
    from nwbpipe.processors import processor

    if quick:
        note("left out of the small sizes: a few starts of DeepLabCut take two minutes")
        return
    tool = processor("deeplabcut").tool
    try:
        environment = environments.find(tool)
    except ToolMissingError as error:
        note(f"DeepLabCut is not installed, so there is nothing to measure: {error.problem.hint}")
        return
    become_reaper()
    variables = offer_processors(folder) | {"NWBPIPE_TRUST": str(folder)}
    videos = 21
    project = folder / "project"
    make_project(project, videos)
    measure_cpu(["run", "--step", "convert"], project, variables)
    measure_cpu(["run", "--step", "model"], project, variables)
    first, first_cpu = measure_cpu(["run", "--step", "pose", "--session", "box/0"], project, variables)
    others, others_cpu = measure_cpu(["run", "--step", "pose"], project, variables)
    ended = sum(ending == "done" for *_, ending in [*first.ends, *others.ends])
    command = [str(environment.python), "-c", _describe_imports(tool.preload)]
    del variables["PYTHONPYCACHEPREFIX"]  # DeepLabCut's bytecode lies beside it
    imports = [measure([command], folder, variables) for _ in range(3)]
    # The second run starts DeepLabCut once, too.
    each, each_cpu = (others.wall - first.wall) / (videos - 2), (others_cpu - first_cpu) / (videos - 2)
    table(
        [f"DeepLabCut on videos of {FRAMES} frames, one worker", "seconds", "CPU seconds"],
        [
            ["its imports alone", spread([cost.wall for cost in imports]), spread([cost.cpu for cost in imports])],
            ["`nwbpipe run` of one video", f"{first.wall:.2f}", f"{first_cpu:.2f}"],
            [f"`nwbpipe run` of {videos - 1} videos", f"{others.wall:.2f}", f"{others_cpu:.2f}"],
            ["each further video", f"{each:.2f}", f"{each_cpu:.2f}"],
        ],
    )
    together = first_cpu + 99 * each_cpu
    note(f"\n{ended} of {videos} videos were tracked, each validated and committed. A hundred would take")
    note(f"{together:.0f} s of CPU, and with a start each {100 * first_cpu / together:.1f} times as much.")


def make_project(folder: Path, videos: int) -> None:
    """Simulate a labelled project of DeepLabCut, and sessions of one short video each."""
    from nwbpipe.simulate import simulate_body_video, write_dlc_project

    labelled = simulate_body_video(folder / "dlc/labelled.avi", seed=1, n_frames=32)
    write_dlc_project(folder / "dlc/box", labelled, frames=range(0, 32, 2))
    for number in range(videos):
        place = folder / f"raw/{number}"
        simulate_body_video(place / "body.avi", seed=2 + number, n_frames=FRAMES)
        (place / "session.yaml").write_text(_SPEC.format(number=number))
    (folder / "nwbpipe.toml").write_text(_PROJECT)


def _describe_imports(modules: Sequence[str]) -> str:
    """Return a program that imports what our worker imports, as it does."""
    ours = str(REPOSITORY / "src/nwbpipe/environments")
    fixes = f"import sys; sys.path.insert(0, {ours!r}); import _worker_imports; _worker_imports.install()"
    return f"{fixes}; import h5py, {', '.join(modules)}"
