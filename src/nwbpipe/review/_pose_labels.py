"""Bring labelled frames of a DeepLabCut project into session files, and take them out again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors.pose._deeplabcut_files import make_label_columns
from nwbpipe.processors.pose._deeplabcut_project import LabelledFrame, LabelledProject, read_labelled_project
from nwbpipe.processors.pose._labelled_images import name_points
from nwbpipe.processors.pose._pose_training import (
    SessionLabels,
    add_pose_training,
    name_image,
    read_pose_training,
)
from nwbpipe.processors.pose._training import check_labels
from nwbpipe.provenance import ObjectRecord, RunRecord, identify_file
from nwbpipe.review._commit_curation import commit_given
from nwbpipe.review._pose_project import (
    LIST,
    NewProject,
    check_new_video,
    new_project_folder,
    write_images,
    write_project_files,
)
from nwbpipe.review._pose_videos import SessionVideo, explain_video, open_videos
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Name of the step that imported labels are the result of.
LABELS = "labels"
_MOST_BYTES = 2**28


@dataclass(frozen=True)
class ImportedLabels:
    """Labels that were brought into a session file.

    Attributes
    ----------
    record : RunRecord
    frames : int
        Number of labelled frames.
    fresh : bool
        False if the file had these very labels.
    """

    record: RunRecord
    frames: int
    fresh: bool


def import_pose_labels(
    project: Path | str,
    files: Sequence[Path | str],
    *,
    step: str = LABELS,
    replace: bool = False,
    lock_timeout: float = 60.0,
) -> dict[str, ImportedLabels]:
    """Write the labelled frames of a DeepLabCut project into the session files that they were taken from.

    The project is one that `new_pose_project` made. Each file gets ``PoseTraining_<step>`` and ``Skeletons_<step>``
    in ``behavior``, in a transaction of its own, with a record that names the tables of labels by SHA-256. Nothing
    is written into any of them unless the labels and all files go together.

    Parameters
    ----------
    project : path
        The project's folder.
    files : sequence of path
        Session files; each has a labelled frame in the project.
    step : str
        Name under which the labels are kept.
    replace : bool
        Replace earlier labels of that name.
    lock_timeout : float
        Seconds to wait for another writer of a file.

    Returns
    -------
    dict of str to ImportedLabels
        By session file.

    Raises
    ------
    InputError
        If a label lies outside of its image, a labelled frame is not one that was taken from a session's video, or a
        session's video has other content than when its frames were taken.
    ResultExistsError
        If a file has other labels of that name, and `replace` is false.
    """
    project = Path(project)
    labelled, listed = read_labelled_project(project), _read_list(project)
    _check_animals(labelled.individuals, project / "config.yaml")
    points = _match_frames(project, labelled, listed)
    planned = []
    for file in files:
        session = SessionFile.at(file)
        with open_videos(session, "*", wanted=points) as labelled_videos:
            for video in labelled_videos:
                _check_video(session, video, listed[video.name])
        if not labelled_videos:
            msg = "the project has no labelled frame of this session"
            hint = "name the files that the project was made from"
            raise InputError(msg, where=str(session), expected=", ".join(points), found="other videos", hint=hint)
        planned.append((session, labelled_videos))
    return {
        str(session): _import_session(project, session, videos, labelled, points, step, replace, lock_timeout)
        for session, videos in planned
    }


def _check_animals(individuals: Sequence[str], config: Path) -> None:
    """Refuse names that an object in an NWB file can't have."""
    wrong = [name for name in individuals if name in ("", ".") or set(name) & {"/", ":"}]
    if wrong:
        msg = "an animal's name can't be that of an object in an NWB file"
        hint = "rename it in config.yaml and in the tables of labels"
        raise InputError(msg, where=f"{config}: individuals", expected="no / and no :", found=wrong[0], hint=hint)


def _import_session(
    project: Path,
    session: SessionFile,
    videos: Sequence[SessionVideo],
    labelled: LabelledProject,
    points: Mapping[str, Mapping[int, LabelledFrame]],
    step: str,
    replace: bool,
    lock_timeout: float,
) -> ImportedLabels:
    frames = {
        video.object_id: {number: points[video.name][number].points for number in sorted(points[video.name])}
        for video in videos
    }
    labels = SessionLabels(labelled.bodyparts, labelled.skeleton, labelled.scorer, frames, labelled.individuals)
    count = sum(map(len, frames.values()))
    identities = session.identify([video.path for video in videos])
    inputs = tuple(
        ObjectRecord(f"video:{number}", video.path, video.object_id, "ImageSeries", identity.identity)
        for number, (video, identity) in enumerate(zip(videos, identities, strict=True), start=1)
    )
    tables = [project / "labeled-data" / video.name / f"CollectedData_{labelled.scorer}.csv" for video in videos]
    sources = tuple(
        {"path": table.relative_to(project).as_posix(), "size": identity.size, "sha256": identity.sha256}
        for table, identity in ((table, identify_file(table)) for table in tables)
    )
    values = {
        "who": labelled.scorer,
        "keypoints": list(labelled.bodyparts),
        "skeleton": [list(pair) for pair in labelled.skeleton],
        **({"individuals": list(labelled.individuals)} if labelled.individuals else {}),
        "frames": {
            video.name: {str(number): frame.labels for number, frame in sorted(points[video.name].items())}
            for video in videos
        },
    }

    def write(nwbfile: NWBFile) -> None:
        missing = [object_id for object_id in frames if object_id not in nwbfile.objects]
        if missing:
            msg = "a video was replaced meanwhile"
            raise InputError(msg, where=str(session), hint="import the labels again")
        add_pose_training(nwbfile, step, labels)

    record, fresh = commit_given(
        session,
        step,
        inputs,
        write,
        key_inputs={item.name: item.identity for item in inputs},
        values=values,
        sources=sources,
        started=datetime.now(UTC),
        already="labels",
        replace=replace,
        lock_timeout=lock_timeout,
    )
    return ImportedLabels(record, count, fresh)


def export_pose_labels(folder: Path | str, files: Sequence[Path | str], *, step: str = LABELS) -> NewProject:
    """Make a project of DeepLabCut of the labelled frames in session files: the way back of `import_pose_labels`.

    Labels are written as ``CollectedData_<scorer>.csv`` and ``.h5``, as DeepLabCut reads them.

    Parameters
    ----------
    folder : path
        The project's folder; it must not exist.
    files : sequence of path
        Session files with ``PoseTraining_<step>``.
    step : str
        Name under which the labels are kept.

    Raises
    ------
    InputError
        If a file has no labels of that name, or the files' labels are of other keypoints.
    """
    path = f"/processing/behavior/PoseTraining_{step}"
    entries: dict[str, Any] = {}
    counts: dict[str, int] = {}
    first: SessionLabels | None = None
    with new_project_folder(Path(folder)) as part:
        for file in files:
            session = SessionFile.at(file)
            labels = session.read(lambda reader: _read_labels(reader, path, str(session)), locked=True)  # noqa: B023
            first = first or labels
            if _describe_labels(labels) != _describe_labels(first):
                msg = "the sessions' labels are not of one set of keypoints and animals and one person"
                found = _describe_labels(labels)
                raise InputError(msg, where=str(session), expected=_describe_labels(first), found=found)
            with open_videos(session, "*", wanted=labels.frames) as videos:
                for video in videos:
                    check_new_video(video.name, entries)
                    numbered = labels.frames[video.object_id]
                    with explain_video(f"{session}:{video.path}"):
                        entries[video.name] = write_images(part, video, list(numbered))
                    counts[video.name] = len(numbered)
                    names = [name_image(number, video.n_frames) for number in numbered]
                    _write_table(part / "labeled-data" / video.name, labels, names, list(numbered.values()))
        if first is None:
            raise InputError("no session file is named", expected="FILE.nwb", found="none")
        write_project_files(
            part, Path(folder), entries, first.bodyparts, first.skeleton, first.scorer, first.individuals
        )
    return NewProject(Path(folder) / "config.yaml", counts)


def _describe_labels(labels: SessionLabels) -> str:
    animals = f" of {', '.join(labels.individuals)}" if labels.individuals else ""
    return f"{', '.join(labels.bodyparts)}{animals}, by {labels.scorer}"


def _read_labels(reader: SessionReader, path: str, where: str) -> SessionLabels:
    item = next((item for item in reader.objects if item.path == path), None)
    if item is None or "PoseTraining" not in item.lineage:
        names = [item.path for item in reader.objects if "PoseTraining" in item.lineage]
        msg = "the session has no labels of that name"
        raise InputError(msg, where=where, expected=path, found=", ".join(names) or "none", hint="--step NAME")
    return read_pose_training(reader.nwbfile.objects[item.object_id], path)


def _write_table(folder: Path, labels: SessionLabels, names: Sequence[str], points: Sequence[Any]) -> None:
    """Write the labels of a video as DeepLabCut does."""
    try:
        import pandas
    except ImportError as error:
        msg = "tables of labels need the packages pandas and tables"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[behavior]'") from error
    columns = make_label_columns(labels.scorer, labels.bodyparts, labels.individuals)
    index = pandas.MultiIndex.from_tuples([("labeled-data", folder.name, name) for name in names])
    rows = [[value for point in frame for value in point] for frame in points]
    table = pandas.DataFrame(rows, index=index, columns=columns, dtype="float64")
    table.to_csv(folder / f"CollectedData_{labels.scorer}.csv")
    table.to_hdf(folder / f"CollectedData_{labels.scorer}.h5", key="df_with_missing", mode="w")


def _read_list(project: Path) -> dict[str, dict[str, Any]]:
    """Return the videos of a project's list of frames."""
    path = project / LIST
    if not path.is_file():
        msg = "the project does not say which session's video its frames are of"
        hint = "frames of session files are taken by `nwbpipe pose new-project`"
        raise InputError(msg, where=str(project), expected=LIST, found="no such file", hint=hint)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {
            str(name): {
                "content": str(entry["content"]),
                "size": [int(entry["size"][axis]) for axis in (0, 1)],
                "images": {
                    str(image): (int(values["frame"]), str(values["sha256"]))
                    for image, values in entry["images"].items()
                },
            }
            for name, entry in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        msg = "the project's list of frames can't be read"
        raise InputError(msg, where=str(path), expected="as nwbpipe wrote it", found=str(error)) from error


def _match_frames(
    project: Path, labelled: LabelledProject, listed: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[int, LabelledFrame]]:
    """Return the labelled frames by video and number; refuse those that the list does not have as they are."""
    points: dict[str, dict[int, LabelledFrame]] = {}
    for frame in labelled.frames:
        video, _, image = frame.name.partition("/")
        file = str(project / "labeled-data" / frame.name)
        number, content = listed.get(video, {}).get("images", {}).get(image, (None, ""))
        digits = image.removeprefix("img").partition(".")[0]
        if number is None or not digits.isdigit() or int(digits) != number:
            msg = "a labelled image is not one that nwbpipe took from a session's video"
            hint = f"remove its row from the table of labels, or make the project anew; {LIST} lists the images"
            raise InputError(msg, where=file, expected=f"an image of {LIST}", found=frame.name, hint=hint)
        if frame.image != content:
            msg = "a labelled image was changed since it was taken from the video"
            raise InputError(msg, where=file, expected=f"SHA-256 {content[:12]}…", found=f"{frame.image[:12]}…")
        try:
            names = name_points({"bodyparts": labelled.bodyparts, "individuals": labelled.individuals})
            check_labels({"name": frame.name, "points": frame.points}, names, *listed[video]["size"])
        except ValueError as error:
            msg = "a label lies outside of its image"
            raise InputError(msg, where=file, found=str(error), hint="correct it in DeepLabCut's GUI") from error
        points.setdefault(video, {})[number] = frame
    return points


def _check_video(session: SessionFile, video: SessionVideo, entry: Mapping[str, Any]) -> None:
    if video.hash_content() != entry["content"]:
        msg = "the video has other content than when its frames were taken"
        hint = "put the video back, or make the project anew"
        raise InputError(msg, where=f"{session}:{video.path}", expected="the same frames", hint=hint)
