"""Keypoints of a `PoseEstimation`, as the processors of pose and behaviour read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nwbpipe.errors import InputError

_PREFIX = "PoseEstimationSeries"


def shorten_keypoint(name: str) -> str:
    """Return the name of a keypoint as its tool had it: converters put the type's name before it."""
    return name.removeprefix(_PREFIX) or name


def describe_keypoints(pose: Any, path: str) -> list[dict[str, Any]]:
    """Return name, datasets and scale of each keypoint of a pose estimation, in the order of the file.

    Parameters
    ----------
    pose : ndx_pose.PoseEstimation
        Open for reading.
    path : str
        Its path, to be named in an error.

    Raises
    ------
    InputError
        There are no keypoints, they are not positions in 2 or 3 dimensions, or they have different times.
    """
    keypoints = list(pose.pose_estimation_series.values())
    if not keypoints:
        raise InputError("the pose estimation has no keypoints", where=path, hint="bind another one")
    described = [_describe_keypoint(series) for series in keypoints]
    first = keypoints[0]
    for series in keypoints:
        shape, times = tuple(series.data.shape), _times_of(series)
        if len(shape) != 2 or shape[1] not in (2, 3) or shape != tuple(first.data.shape):
            raise InputError(
                "the keypoints are not positions of the same frames",
                where=path,
                expected=f"the shape of {first.name}, (frames, 2 or 3)",
                found=f"{series.name}: {shape}",
            )
        if times != _times_of(first) and (None in (times[0], _times_of(first)[0]) or not _same_times(series, first)):
            raise InputError(
                "the keypoints have different times",
                where=path,
                expected=f"those of {first.name}",
                found=f"others in {series.name}",
                hint="convert them again, or use synchronize",
            )
        if series.unit != first.unit:
            raise InputError("the keypoints have different units", where=path, found=f"{first.unit}, {series.unit}")
    return described


def _describe_keypoint(series: Any) -> dict[str, Any]:
    return {"name": shorten_keypoint(series.name), "series": series.name, **describe_datasets(series)}


def describe_datasets(series: Any) -> dict[str, Any]:
    """Return the datasets and the scale of a series, for a compute module; its confidence, if it has one."""
    confidence = getattr(series, "confidence", None)
    return {
        "data": series.data.name,
        "timestamps": None if series.rate is not None else series.timestamps.name,
        "rate": None if series.rate is None else float(series.rate),
        "start": None if series.rate is None else float(series.starting_time or 0.0),
        "conversion": float(series.conversion),
        "offset": float(series.offset or 0.0),
        "confidence": None if confidence is None else confidence.name,
    }


def _times_of(series: Any) -> tuple[str | None, float | None, float | None]:
    if series.rate is not None:
        return None, float(series.rate), float(series.starting_time or 0.0)
    return str(series.timestamps.name), None, None


def _same_times(series: Any, other: Any) -> bool:
    same: bool = series.timestamps == other.timestamps or bool((series.timestamps[:] == other.timestamps[:]).all())
    return same


def find_keypoints(names: Iterable[str], keypoints: Sequence[Mapping[str, Any]], path: str) -> list[int]:
    """Return the numbers of keypoints that are named as in the file, or as their tool had them, in any case.

    Raises
    ------
    InputError
        A name is that of no keypoint, or of several.
    """
    numbers = []
    for name in names:
        matches = [number for number, keypoint in enumerate(keypoints) if keypoint["series"] == name]
        matches = matches or [
            number for number, keypoint in enumerate(keypoints) if keypoint["name"].lower() == name.lower()
        ]
        if len(matches) != 1:
            raise InputError(
                f"the pose has no keypoint {name!r}" if not matches else f"several keypoints are called {name!r}",
                where=path,
                expected="one of " + ", ".join(keypoint["name"] for keypoint in keypoints),
                found=name,
                hint="correct the name",
            )
        numbers += matches
    return numbers
