"""Read and write labelled frames of a session: containers `PoseTraining` of ndx-pose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors.pose._deeplabcut_project import Point
from nwbpipe.processors.pose._poses import require_ndx_pose

if TYPE_CHECKING:
    from pynwb import NWBFile


@dataclass(frozen=True)
class SessionLabels:
    """The labelled frames of a session.

    Attributes
    ----------
    bodyparts : tuple of str
    skeleton : tuple of (str, str)
        Pairs of keypoints, for drawing.
    scorer : str
        Who labelled them.
    frames : mapping of str to mapping of int to tuple of (float or None, float or None)
        By the `ImageSeries` (object id) and the number of the frame in it: x and y of each keypoint in pixels; None
        where it has no label. Of several animals: those of the first, then those of the next.
    individuals : tuple of str
        Names of the animals, where there are several.
    """

    bodyparts: tuple[str, ...]
    skeleton: tuple[tuple[str, str], ...]
    scorer: str
    frames: Mapping[str, Mapping[int, tuple[Point, ...]]]
    individuals: tuple[str, ...] = ()


def name_video(nwbfile: NWBFile, series_name: str) -> str:
    """Return the name of a session's video in a project of DeepLabCut: of subject, session and series."""
    subject = nwbfile.subject.subject_id if nwbfile.subject is not None else None
    parts = (subject, nwbfile.session_id or nwbfile.identifier, series_name)
    return "_".join(re.sub(r"[^A-Za-z0-9_-]+", "-", str(part)) for part in parts if part)


def require_count(facts: Mapping[str, Any], path: str) -> int:
    """Return the number of frames of a video (see `describe_video`); refuse one that doesn't say it."""
    if facts["frames"] is None:
        msg = "the video does not say how many frames it has"
        hint = "convert it again: the names of its images are made of it"
        raise InputError(msg, where=path, expected="timestamps, or num_samples", found="none", hint=hint)
    return int(facts["frames"])


def name_image(frame: int, n_frames: int) -> str:
    """Return the name that DeepLabCut gives the image of a frame: ``img0012.png``."""
    return f"img{frame:0{len(str(max(n_frames - 1, 0)))}d}.png"


def add_pose_training(nwbfile: NWBFile, name: str, labels: SessionLabels) -> None:
    """Add ``PoseTraining_<name>`` and ``Skeletons_<name>`` to the module ``behavior``."""
    from ndx_pose import (
        PoseTraining,
        Skeleton,
        SkeletonInstance,
        SkeletonInstances,
        Skeletons,
        SourceVideos,
        TrainingFrame,
        TrainingFrames,
    )

    from nwbpipe.processors._base import Context

    nodes = list(labels.bodyparts)
    edges = np.array([[nodes.index(part) for part in pair] for pair in labels.skeleton], dtype=np.uint8)
    skeleton = Skeleton(name=f"Skeleton_{name}", nodes=nodes, **({"edges": edges} if len(edges) else {}))
    videos = [nwbfile.objects[object_id] for object_id in labels.frames]
    frames = []
    for video in videos:
        for number, points in labels.frames[video.object_id].items():
            animals = np.array(points, dtype=np.float64).reshape(-1, len(nodes), 2)  # None becomes NaN
            instances = [
                SkeletonInstance(
                    node_locations=locations,
                    node_visibility=np.isfinite(locations).all(axis=1),
                    skeleton=skeleton,
                    **({"name": labels.individuals[k], "id": np.uint64(k)} if labels.individuals else {}),
                )
                for k, locations in enumerate(animals)
            ]
            frames.append(
                TrainingFrame(
                    name=f"{video.name}_{number:06d}",
                    annotator=labels.scorer,
                    skeleton_instances=SkeletonInstances(skeleton_instances=instances),
                    source_video=video,
                    source_video_frame_index=np.uint64(number),
                )
            )
    module = Context.module(nwbfile, "behavior")
    module.add(Skeletons(name=f"Skeletons_{name}", skeletons=[skeleton]))
    module.add(
        PoseTraining(
            name=f"PoseTraining_{name}",
            training_frames=TrainingFrames(training_frames=frames),
            source_videos=SourceVideos(image_series=videos),
        )
    )


def read_pose_training(container: Any, path: str) -> SessionLabels:
    """Read a container `PoseTraining`: labels in two dimensions, in frames of videos.

    Of several animals, each frame has a skeleton for each of them: by its name, in the order of their ``id``.

    Raises
    ------
    InputError
        If it has no labels, or others.
    """
    require_ndx_pose()
    items = list(container.training_frames.training_frames.values()) if container.training_frames else []
    frames: dict[str, dict[int, tuple[Point, ...]]] = {}
    skeletons, scorers = [], set()
    individuals: tuple[str, ...] | None = None
    for item in items:
        instances = list(item.skeleton_instances.skeleton_instances.values())
        if len(instances) > 1 and all(instance.id is not None for instance in instances):
            instances.sort(key=lambda instance: int(instance.id))
        animals = tuple(str(instance.name) for instance in instances) if len(instances) != 1 else ()
        individuals = animals if individuals is None else individuals
        if not instances or animals != individuals:
            msg = "the labelled frames differ in their animals"
            expected = ", ".join(individuals) or "one skeleton"
            found = ", ".join(animals) or f"{len(instances)} skeletons"
            raise InputError(msg, where=f"{path}/{item.name}", expected=expected, found=found)
        if item.source_video is None or item.source_video_frame_index is None:
            msg = "a labelled frame lacks its video, or the number in it"
            expected = "source_video, source_video_frame_index"
            raise InputError(msg, where=f"{path}/{item.name}", expected=expected, found="none")
        points: tuple[Point, ...] = ()
        for instance in instances:
            locations = np.asarray(instance.node_locations[:], dtype=np.float64)
            if locations.shape[1] != 2:
                msg, columns = "the labels are of three dimensions", f"{locations.shape[1]} columns"
                raise InputError(msg, where=f"{path}/{item.name}", expected="x, y", found=columns)
            points += tuple(
                (float(x), float(y)) if np.isfinite(x) and np.isfinite(y) else (None, None) for x, y in locations
            )
            skeletons.append(instance.skeleton)
        number, video = int(item.source_video_frame_index), item.source_video.object_id
        if number in frames.setdefault(video, {}):
            msg = "a frame is labelled twice"
            raise InputError(msg, where=path, expected="one set of labels", found=f"frame {number}, twice")
        frames[video][number] = points
        scorers.add(str(item.annotator or ""))
    shapes = {_describe_skeleton(skeleton) for skeleton in {id(item): item for item in skeletons}.values()}
    if len(shapes) != 1:
        msg = "the labelled frames differ in their keypoints" if shapes else "there are no labelled frames"
        raise InputError(msg, where=path, expected="frames with one skeleton", found=f"{len(shapes)} skeletons")
    bodyparts, edges = shapes.pop()
    counts = {len(points) for numbers in frames.values() for points in numbers.values()}
    expected_count = len(bodyparts) * (len(individuals or ()) or 1)
    if counts != {expected_count}:
        msg = "the labels are not those of the skeleton"
        raise InputError(msg, where=path, expected=f"{expected_count} keypoints", found=f"{sorted(counts)}")
    scorer = scorers.pop() if len(scorers) == 1 else ""
    frames = {video: dict(sorted(numbers.items())) for video, numbers in frames.items()}
    return SessionLabels(bodyparts, edges, scorer if is_file_name(scorer) else "nwbpipe", frames, individuals or ())


def is_file_name(scorer: str) -> bool:
    """Return True if the name of a scorer can be in the name of a file."""
    return re.fullmatch(r"[\w-][\w .-]*", scorer) is not None


def _describe_skeleton(skeleton: Any) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    nodes = tuple(str(node) for node in skeleton.nodes[:])
    edges: Sequence[Any] = skeleton.edges[:] if skeleton.edges is not None else ()
    return nodes, tuple((nodes[int(first)], nodes[int(second)]) for first, second in edges)
