"""``nwbpipe pose``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo

app = typer.Typer(
    help="Labelled frames for networks of pose: to DeepLabCut's GUI and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Files = Annotated[list[str], typer.Argument(metavar="FILE.nwb...", help="The session files.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The new project's folder.")]
Step = Annotated[str, typer.Option(help="Name under which the labels are kept in the session files.")]


class Method(enum.StrEnum):
    """How frames are chosen."""

    KMEANS = "kmeans"
    UNIFORM = "uniform"


@app.command("new-project")
def new_project(
    files: Files,
    output: Output,
    keypoints: Annotated[
        list[str], typer.Option("--keypoint", "-k", metavar="NAME", help="A keypoint to label; once for each.")
    ],
    edges: Annotated[
        list[str] | None,
        typer.Option("--edge", metavar="A,B", help="A line of the skeleton, between two keypoints; once for each."),
    ] = None,
    individuals: Annotated[
        list[str] | None,
        typer.Option("--individual", metavar="NAME", help="An animal, where there are several; once for each."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each video.")] = 20,
    method: Annotated[
        Method, typer.Option(help="kmeans: frames that look different. uniform: frames at random.")
    ] = Method.KMEANS,
    scorer: Annotated[str, typer.Option(help="Who labels.")] = "nwbpipe",
    videos: Annotated[
        str | None,
        typer.Option("--video", metavar="PATTERN", help="The ImageSeries.  [default: all of the acquisition]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
) -> None:
    """Take frames of the sessions' videos into a new project of DeepLabCut, to be labelled in its GUI."""
    from nwbpipe.errors import RequestError
    from nwbpipe.review import new_pose_project

    skeleton = []
    for edge in edges or ():
        pair = [part.strip() for part in edge.split(",")]
        if len(pair) != 2:
            raise RequestError("an edge is between two keypoints", expected="--edge snout,tail", found=edge)
        skeleton.append((pair[0], pair[1]))
    made_project = new_pose_project(
        output,
        files,
        bodyparts=keypoints,
        skeleton=skeleton,
        individuals=individuals or (),
        scorer=scorer,
        n_frames=frames,
        method=method.value,
        videos=videos,
        seed=seed,
    )
    for name, count in made_project.images.items():
        echo(f"{name}: {count} frames")
    echo(f"wrote {made_project.config}")
    echo(f"label its images in DeepLabCut, then `nwbpipe pose import-labels {output} FILE.nwb...`")


@app.command("import-labels")
def import_labels(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")],
    files: Files,
    step: Step = "labels",
    replace: Annotated[bool, typer.Option("--replace", help="Replace earlier labels of that name.")] = False,
    lock_timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")] = 60.0,
) -> None:
    """Write a project's labelled frames into the session files that the frames were taken from."""
    from nwbpipe.review import import_pose_labels

    imported = import_pose_labels(project, files, step=step, replace=replace, lock_timeout=lock_timeout)
    for file, labels in imported.items():
        note = "" if labels.fresh else ": done, nothing to do"
        echo(f"{file}: {labels.frames} labelled frames{note}")
        for written in labels.record.outputs if labels.fresh else ():
            echo(f"  {written.path} ({written.neurodata_type})")


@app.command("export-labels")
def export_labels(files: Files, output: Output, step: Step = "labels") -> None:
    """Make a project of DeepLabCut of the labelled frames in session files."""
    from nwbpipe.review import export_pose_labels

    made_project = export_pose_labels(output, files, step=step)
    for name, count in made_project.images.items():
        echo(f"{name}: {count} labelled frames")
    echo(f"wrote {made_project.config}")
