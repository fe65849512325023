"""Make a project of DeepLabCut of the frames of session files, for labelling."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from nwbpipe.disk import remove_folder
from nwbpipe.errors import FileAccessError, InputError, RequestError
from nwbpipe.processors.pose._deeplabcut_files import describe_project
from nwbpipe.processors.pose._labelled_images import encode_png, pick_frames
from nwbpipe.processors.pose._pose_training import is_file_name, name_image
from nwbpipe.processors.pose._video_frames import explain_count, iter_frames
from nwbpipe.provenance import identify_file
from nwbpipe.review._pose_videos import SessionVideo, explain_video, open_videos
from nwbpipe.session import SessionFile

#: The list of which image is which frame of which session's video, in a project's folder.
LIST = "nwbpipe.json"
Method = Literal["kmeans", "uniform"]
_WIDTH, _MOST = 30, 3000  # pixels that a frame is brought down to, as in DeepLabCut; frames that are compared


@dataclass(frozen=True)
class NewProject:
    """A project of DeepLabCut that was made.

    Attributes
    ----------
    config : Path
        Its config.yaml.
    images : mapping of str to int
        Number of images by video.
    """

    config: Path
    images: Mapping[str, int]


def new_pose_project(
    folder: Path | str,
    files: Sequence[Path | str],
    *,
    bodyparts: Sequence[str],
    skeleton: Sequence[tuple[str, str]] = (),
    individuals: Sequence[str] = (),
    scorer: str = "nwbpipe",
    n_frames: int = 20,
    method: Method = "kmeans",
    videos: str | None = None,
    seed: int = 0,
) -> NewProject:
    """Make a project of DeepLabCut with frames of the videos of session files, to be labelled in its GUI.

    Session files are only read. The project lies in a new folder: ``config.yaml``,
    ``labeled-data/<subject>_<session>_<series>/img….png``, and ``nwbpipe.json``, by which `import_pose_labels` knows
    the frames again.

    Parameters
    ----------
    folder : path
        The project's folder; it must not exist.
    files : sequence of path
        Session files.
    bodyparts : sequence of str
        Names of the keypoints.
    skeleton : sequence of (str, str)
        Pairs of keypoints, for drawing.
    individuals : sequence of str
        Names of the animals, where there are several; they have the same keypoints.
    scorer : str
        Who labels.
    n_frames : int
        Frames of each video; all, if it has less.
    method : {"kmeans", "uniform"}
        kmeans: frames that look different, the one next to the middle of each of `n_frames` clusters (up to 3000
        frames are compared, at a width of 30 pixels). uniform: at random.
    videos : str, optional
        Name or pattern of the `ImageSeries`; by default all of the acquisition.
    seed : int

    Raises
    ------
    RequestError
        If the folder exists, or the keypoints can't be.
    FileAccessError
        If the folder can't be made.
    InputError
        If a file has no video, or one that can't be used.
    """
    _check_names(bodyparts, skeleton)
    _check_individuals(individuals, bodyparts)
    if not is_file_name(scorer):
        raise RequestError("the scorer's name can't be in a file's name", expected="letters", found=repr(scorer))
    counts: dict[str, int] = {}
    with new_project_folder(Path(folder)) as part:
        entries: dict[str, Any] = {}
        for file in files:
            session = SessionFile.at(file)
            with open_videos(session, videos) as session_videos:
                for video in session_videos:
                    check_new_video(video.name, entries)
                    with explain_video(f"{session}:{video.path}"):
                        numbers = choose_frames(video, n_frames, method, seed)
                        entries[video.name] = write_images(part, video, numbers)
                    counts[video.name] = len(numbers)
        write_project_files(part, Path(folder), entries, bodyparts, skeleton, scorer, individuals)
    return NewProject(Path(folder) / "config.yaml", counts)


def _check_names(bodyparts: Sequence[str], skeleton: Sequence[tuple[str, str]]) -> None:
    if not bodyparts or len(set(bodyparts)) != len(bodyparts) or not all(map(str.strip, bodyparts)):
        msg = "the keypoints need a name each"
        raise RequestError(msg, expected="different names", found=", ".join(bodyparts) or "none")
    unknown = sorted({part for pair in skeleton for part in pair} - set(bodyparts))
    if unknown:
        msg = "the skeleton has a keypoint that is not named"
        raise RequestError(msg, expected=", ".join(bodyparts), found=unknown[0])


def _check_individuals(individuals: Sequence[str], bodyparts: Sequence[str]) -> None:
    if not individuals:
        return
    if len(individuals) < 2 or len(set(individuals)) < len(individuals) or not all(map(is_file_name, individuals)):
        msg = "several animals need a name each"
        raise RequestError(msg, expected="two different names or more", found=", ".join(individuals))
    if len(bodyparts) < 2:
        msg = "several animals need two keypoints or more: an animal is found by what joins them"
        raise RequestError(msg, expected="two keypoints or more", found=", ".join(bodyparts))


def check_new_video(name: str, entries: Mapping[str, Any]) -> None:
    """Refuse two videos of one name."""
    if name in entries:
        msg = "two videos have one subject, session and series"
        raise InputError(msg, found=name, hint="name each session file once")


@contextmanager
def new_project_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that gets the name `folder` at the end, if nothing failed."""
    if folder.exists() or folder.is_symlink():
        msg = "the folder is there already"
        raise RequestError(msg, where=str(folder), hint="name a new one; nothing was changed")
    part = folder.absolute().with_name(f".{uuid.uuid4().hex}.partial")
    try:
        part.mkdir(parents=True)
    except OSError as error:  # a file is in the way, or the folder above may not be written
        msg = "the folder can't be made"
        raise FileAccessError(msg, where=str(folder), found=error.strerror or str(error)) from error
    try:
        yield part
        part.rename(folder)
    finally:
        remove_folder(part)


def choose_frames(video: SessionVideo, count: int, method: Method, seed: int) -> list[int]:
    """Return the numbers of the frames of a video that are to be labelled."""
    total, rng = video.n_frames, np.random.default_rng(seed)
    if count >= total:
        return list(range(total))
    if method == "uniform":
        return sorted(int(number) for number in rng.choice(total, count, replace=False))
    import warnings

    from scipy.cluster.vq import kmeans2

    step = max(1, total // max(_MOST, count))
    numbers, looks, number = [], [], -1
    for number, image in enumerate(iter_frames(dict(video.item), video.starts)):
        if number % step == 0:
            numbers.append(number)
            looks.append(_shrink(image))
    if number + 1 != total:
        raise ValueError(explain_count(number + 1, total))
    features, first = np.unique(np.stack(looks), axis=0, return_index=True)  # frames of a still scene are alike
    chosen = {numbers[index] for index in first}
    if len(first) > count:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a cluster that has no frame
            centers, labels = kmeans2(features - features.mean(axis=0), count, minit="++", seed=rng)
        distances = ((features - features.mean(axis=0) - centers[labels]) ** 2).sum(axis=1)
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        chosen = {numbers[first[rows[distances[rows].argmin()]]] for rows in members}
    remaining = [number for number in numbers if number not in chosen]  # in place of clusters that have no frame
    chosen.update(int(number) for number in rng.permutation(remaining)[: count - len(chosen)])
    return sorted(chosen)


def _shrink(image: np.ndarray) -> np.ndarray:
    """Return the gray levels of a frame, means of blocks: float64, about 30 pixels wide."""
    size = max(1, image.shape[1] // _WIDTH)
    height, width = (image.shape[0] // size) * size, (image.shape[1] // size) * size
    gray = image[: max(height, 1), :width].mean(axis=2)
    if height:
        gray = gray.reshape(height // size, size, width // size, size).mean(axis=(1, 3))
    return np.asarray(gray, dtype=np.float64).ravel()


def write_images(project: Path, video: SessionVideo, numbers: Sequence[int]) -> dict[str, Any]:
    """Write frames of a video as images; return what the list has of it."""
    folder = project / "labeled-data" / video.name
    folder.mkdir(parents=True)
    images, size = {}, [0, 0]
    for number, image in pick_frames(dict(video.item), video.starts, numbers):
        name = name_image(number, video.n_frames)
        (folder / name).write_bytes(encode_png(image))
        images[name] = {"frame": number, "sha256": identify_file(folder / name).sha256}
        size = [image.shape[1], image.shape[0]]
    return {"series": video.path, "content": video.hash_content(), "size": size, "images": images}


def write_project_files(
    part: Path,
    folder: Path,
    entries: Mapping[str, Mapping[str, Any]],
    bodyparts: Sequence[str],
    skeleton: Sequence[tuple[str, str]],
    scorer: str,
    individuals: Sequence[str] = (),
) -> None:
    """Write a project's config.yaml, and its list of frames."""
    target = folder.absolute()
    videos = {
        str(target / "videos" / f"{name}.mp4"): {"crop": f"0, {entry['size'][0]}, 0, {entry['size'][1]}"}
        for name, entry in entries.items()
    }
    config = describe_project(target.name, scorer, str(target), videos, bodyparts, skeleton, individuals)
    (part / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    (part / LIST).write_text(json.dumps({"nwbpipe": 1, "videos": entries}, indent=1) + "\n", encoding="utf-8")
