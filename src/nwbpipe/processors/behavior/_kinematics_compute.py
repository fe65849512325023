"""Kinematics of keypoints with movement (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import h5py
import numpy as np

from ._kinematics_measures import compute_angle, find_stretches, find_visits, frame_durations, smooth_positions

Progress = Callable[[float, str], None]


def compute(request: Dict[str, Any], results: h5py.File, progress: Progress) -> Dict[str, Any]:
    """Leave a dataset for each series, and the visits to regions, in `results`."""
    import movement

    params, facts = request["params"], request["facts"]
    if facts["scale"]:
        print("kinematics: " + facts["scale"], flush=True)
    with h5py.File(request["inputs"]["pose"]["file"], "r", locking=False) as file:
        times = _read_times(file, facts["keypoints"][0])
        step = float(np.median(np.diff(times))) if times.size > 1 else 1.0
        max_gap = params["max_gap_s"] if params["max_gap_s"] is not None else 5 * step
        pose = _Pose(file, facts["keypoints"], params, times, step)
        stretches = find_stretches(times, max_gap)
        points = [*facts["points"], *([None] if facts["centroid"] else [])]
        speed = results.create_dataset("speed", (times.size, len(points)), np.float64)
        acceleration = results.create_dataset("acceleration", (times.size, len(points)), np.float64)
        for column, number in enumerate(points):
            speed[:, column], acceleration[:, column] = _differentiate(
                times, pose.mean(facts["centroid"]) if number is None else pose.read(number), stretches
            )
            progress((column + 1) / (len(points) + 1), "speed")
        if facts["heading"]:
            rear, front = (pose.read(number) for number in facts["heading"])
            ahead = np.where((front == rear).all(axis=1, keepdims=True), np.nan, front - rear)
            results["heading"] = np.arctan2(ahead[:, 1], ahead[:, 0])
        if facts["head_direction"]:
            left_point, right_point = (pose.read(number) for number in facts["head_direction"])
            results["head_direction"] = _head_direction(times, left_point, right_point, params["camera_view"])
        for name, measure in (("distances", _distance), ("angles", compute_angle)):
            if facts[name]:
                columns = [measure(*(pose.read(number) for number in chosen)) for chosen in facts[name]]
                results[name] = np.column_stack(columns)
        summary: Dict[str, Any] = {"tool_version": movement.__version__}
        if facts["scale"]:
            summary["notes"] = [facts["scale"]]
        if params["regions"]:
            number = facts["region_point"]
            position = pose.mean(facts["centroid"]) if number is None else pose.read(number)
            summary.update(_visit_regions(times, position, step, max_gap, params, results))
        progress(1.0, "done")
        return {**summary, **pose.count_missing(facts["points"])}


def _read_times(file: h5py.File, keypoint: Dict[str, Any]) -> np.ndarray:
    if keypoint["timestamps"] is None:
        return np.asarray(keypoint["start"] + np.arange(file[keypoint["data"]].shape[0]) / keypoint["rate"])
    times = np.asarray(file[keypoint["timestamps"]][()], dtype=np.float64)
    wrong = np.flatnonzero(~(np.diff(times) > 0))
    if wrong.size or not np.isfinite(times).all():
        raise ValueError(
            "the times of the pose don't increase: the first that doesn't is at frame %d" % (wrong[0] + 1)
        )
    return times


class _Pose:
    """Positions of keypoints, in the unit of the results; what is missing or unlikely is NaN."""

    def __init__(
        self, file: h5py.File, keypoints: List[Dict[str, Any]], params: Dict[str, Any], times: np.ndarray, step: float
    ) -> None:
        self._file, self._keypoints, self._params, self._times = file, keypoints, params, times
        self._scale = params["mm_per_px"] or 1.0
        if params["smooth_s"] is not None and params["smooth_s"] < 3 * step:
            message = "smooth_s is %g s, and frames are %g s apart: a parabola needs four of them or more"
            raise ValueError(message % (params["smooth_s"], step))

    def _read_raw(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Return a keypoint's positions, and where they are unlikely."""
        keypoint = self._keypoints[number]
        positions = self._file[keypoint["data"]][()].astype(np.float64) * keypoint["conversion"] + keypoint["offset"]
        unlikely = np.zeros(len(positions), dtype=bool)
        if keypoint["confidence"] and self._params["min_likelihood"] is not None:
            unlikely = ~(self._file[keypoint["confidence"]][()] >= self._params["min_likelihood"])
        return positions, unlikely

    def read(self, number: int) -> np.ndarray:
        """Return the positions of a keypoint, (n_frames, 2 or 3)."""
        positions, unlikely = self._read_raw(number)
        positions[unlikely | ~np.isfinite(positions).all(axis=1)] = np.nan
        if self._params["smooth_s"] is not None:
            positions = smooth_positions(self._times, positions, self._params["smooth_s"])
        return positions * self._scale

    def mean(self, numbers: List[int]) -> np.ndarray:
        """Return the mean of keypoints; NaN where one of them is missing."""
        return np.asarray(sum(self.read(number) for number in numbers) / len(numbers))

    def count_missing(self, numbers: List[int]) -> Dict[str, float]:
        """Return the fractions of positions that are missing, and that are missing for their likelihood."""
        missing = unlikely = total = 0
        for number in numbers:
            positions, low = self._read_raw(number)
            finite = np.isfinite(positions).all(axis=1)
            missing, unlikely, total = (
                missing + int((low | ~finite).sum()),
                unlikely + int((low & finite).sum()),
                total + low.size,
            )
        return {"missing": missing / max(total, 1), "unlikely": unlikely / max(total, 1)}


def _array(times: np.ndarray, positions: np.ndarray) -> Any:
    import xarray as xr

    space = ["x", "y", "z"][: positions.shape[1]]
    return xr.DataArray(positions, dims=("time", "space"), coords={"time": times, "space": space})


def _differentiate(
    times: np.ndarray, positions: np.ndarray, stretches: List[Tuple[int, int]]
) -> Tuple[np.ndarray, np.ndarray]:
    """Return speed and magnitude of the acceleration; NaN where the position, or one that is needed, is missing."""
    from movement.kinematics import compute_acceleration, compute_velocity

    speed, acceleration = np.full(times.size, np.nan), np.full(times.size, np.nan)
    for first, last in stretches:
        if last - first < 2:
            continue
        part = _array(times[first:last], positions[first:last])
        speed[first:last] = np.linalg.norm(compute_velocity(part).values, axis=1)
        acceleration[first:last] = np.linalg.norm(compute_acceleration(part).values, axis=1)
    lost = ~np.isfinite(positions).all(axis=1)
    speed[lost] = acceleration[lost] = np.nan
    return speed, acceleration


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(one - other, axis=1))


def _head_direction(times: np.ndarray, left_point: np.ndarray, right_point: np.ndarray, view: str) -> np.ndarray:
    import xarray as xr
    from movement.kinematics import compute_forward_vector_angle

    pair = xr.DataArray(
        np.stack([left_point, right_point], axis=2),
        dims=("time", "space", "keypoints"),
        coords={"time": times, "space": ["x", "y"], "keypoints": ["left", "right"]},
    )
    angle = compute_forward_vector_angle(pair, "left", "right", camera_view=view)
    return np.asarray(angle.values)


def _visit_regions(
    times: np.ndarray, position: np.ndarray, step: float, max_gap: float, params: Dict[str, Any], results: h5py.File
) -> Dict[str, float]:
    """Leave the stays in each region, and their sums; return for how long the point was tracked."""
    import shapely
    from movement.roi import PolygonOfInterest

    spans = frame_durations(times, step, max_gap)
    tracked = np.isfinite(position).all(axis=1)
    gap_before = np.concatenate([[True], np.diff(times) > max_gap])
    position = position / (params["mm_per_px"] or 1.0)
    bounds, visited, seconds, visits = [], [], [], []
    for number, (name, corners) in enumerate(params["regions"].items()):
        region = PolygonOfInterest(corners, name=name).region
        if not region.is_valid:
            raise ValueError("the region %r crosses itself: %s" % (name, shapely.is_valid_reason(region)))
        shapely.prepare(region)
        inside = np.zeros(times.size, dtype=bool)
        inside[tracked] = shapely.intersects_xy(region, position[tracked, 0], position[tracked, 1])
        stays = find_visits(inside, tracked, gap_before)
        bounds.append(np.column_stack([spans[stays[:, 0], 0], spans[stays[:, 1], 1]]))
        visited += [number] * len(stays)
        seconds.append(float((spans[inside, 1] - spans[inside, 0]).sum()))
        visits.append(len(stays))
    intervals = np.concatenate(bounds)
    order = np.argsort(intervals[:, 0], kind="stable")
    total = float((spans[tracked, 1] - spans[tracked, 0]).sum())
    results["visits"], results["visited"] = intervals[order], np.array(visited, dtype=np.int64)[order]
    results["region_time"], results["region_visits"] = np.array(seconds), np.array(visits, dtype=np.int64)
    results["region_fraction"] = np.array(seconds) / total if total else np.full(len(seconds), np.nan)
    return {"tracked_s": total, "recorded_s": float((spans[:, 1] - spans[:, 0]).sum())}
