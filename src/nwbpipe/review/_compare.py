"""Compare imaging steps: cells by the overlap of their masks, their traces and activity, motion, and cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError, ToolMissingError
from nwbpipe.review._imaging_results import Floats, ImagingResults, read_imaging
from nwbpipe.review._quality import read_passed
from nwbpipe.session import SessionFile, SessionReader

TRUTH = "simulation"  # processor of the step of a simulated file that holds the truth
MIN_IOU = 0.5


@dataclass(frozen=True)
class StepCost:
    """The count of a step's ROIs, and the cost of its run.

    Attributes
    ----------
    step, processor, tool, tool_version : str
        The run.
    parameters : dict
        Parameters whose values differ among the compared steps of the same processor.
    rois, cells : int
        ROIs, and those of them that the method calls cells.
    seconds, cpu_seconds, memory_mb : float or None
        Wall time, CPU time, peak memory; None where the record lacks them.
    """

    step: str
    processor: str
    tool: str
    tool_version: str
    parameters: dict[str, Any]
    rois: int
    cells: int
    seconds: float | None
    cpu_seconds: float | None
    memory_mb: float | None


@dataclass(frozen=True)
class StepPair:
    """Two steps beside each other, by their cells.

    Attributes
    ----------
    first, second : str
        The steps. Where `second` is measured against a simulated truth, `first` is the truth.
    matched, only_first, only_second : int
        Cells of both, and of one alone.
    recall, precision : float or None
        Matched among the first's cells, and among the second's.
    iou : float or None
        Median intersection over union of matched masks.
    trace_r, activity_r : float or None
        Median Pearson correlation of matched traces, and of the deconvolved activity smoothed over 3 frames.
    motion_rms, motion_offset : float or None, (float, float) or None
        Root mean square difference of the shifts (mean over planes) in pixels, less their mean difference (x, y),
        which is that of the two reference images; masks were moved by it before they were matched.
    pairs : list of (int, int)
        Rows of each match.
    """

    first: str
    second: str
    matched: int
    only_first: int
    only_second: int
    recall: float | None
    precision: float | None
    iou: float | None
    trace_r: float | None
    activity_r: float | None
    motion_rms: float | None
    motion_offset: tuple[float, float] | None
    pairs: list[tuple[int, int]]


@dataclass(frozen=True)
class Comparison:
    """The costs of each step, and each pair of them; pairs with a simulated truth come first.

    Where `passed_only`, an ROI that fails by the verdicts in the file is not a cell.
    """

    costs: tuple[StepCost, ...]
    pairs: tuple[StepPair, ...]
    truth: str | None
    passed_only: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def compare(path: Path | str, *steps: str, passed_only: bool = False) -> Comparison:
    """Compare the imaging results of steps of a file, with each other and with the truth of a simulated one.

    A mask is where a footprint has at least a quarter of its largest weight: some methods' have wide, faint skirts.
    Cells are matched one to one, so that the sum of their IoU is largest (Hungarian algorithm); a pair below 0.5
    does not count as a match. Dendrites of a simulated truth count neither as missed nor as false cells.

    Parameters
    ----------
    path : path
        The session file.
    *steps : str
        Two or more; one is enough in a simulated file.
    passed_only : bool
        Leave out ROIs that fail by the verdicts in the file (see `measure_quality`). A simulated truth is not judged.

    Returns
    -------
    Comparison

    Raises
    ------
    UnknownNameError
        If the file has no imaging result of a step.
    RequestError
        If there is nothing to compare with, results are of different movies, or the file lacks verdicts.
    """
    return SessionFile.at(path).read(lambda reader: _compare_steps(reader, steps, passed_only))


def _compare_steps(reader: SessionReader, steps: Sequence[str], passed_only: bool) -> Comparison:
    where = reader.file.filename
    current = [record for record in reader.records if not record.superseded]
    truth = next((record.step for record in current if record.processor == TRUTH), None)
    results = {name: read_imaging(reader, name) for name in steps}
    if truth is not None and truth not in results:
        results = {truth: read_imaging(reader, truth), **results}
    if len(results) < 2:
        msg = "there is nothing to compare with"
        named = ", ".join(dict.fromkeys(steps)) or "none"
        hint = "`nwbpipe log FILE.nwb` shows the steps"
        raise RequestError(msg, where=where, expected="two steps or more", found=named, hint=hint)
    movies = {name: _find_movie(result) for name, result in results.items()}
    if len(set(movies.values())) > 1:
        msg = "the steps are of different movies"
        listed = "; ".join(f"{name}: {movie}" for name, movie in movies.items())
        raise RequestError(msg, where=where, found=listed, hint="compare steps of one movie")
    if passed_only:
        results = {
            name: result if name == truth else select_passed_cells(reader, result) for name, result in results.items()
        }
    methods = [result for name, result in results.items() if name != truth]
    costs = tuple(_summarize_cost(result, _find_varied_parameters(result, methods)) for result in methods)
    order = sorted(itertools.combinations(results, 2), key=lambda names: truth not in names)
    names = [(b, a) if b == truth else (a, b) for a, b in order]
    pairs = tuple(compare_pair(results[a], results[b], truth=a == truth) for a, b in names)
    return Comparison(costs, pairs, truth, passed_only)


def select_passed_cells(reader: SessionReader, results: ImagingResults) -> ImagingResults:
    """Return results in which only ROIs that passed are cells.

    Raises
    ------
    RequestError
        If the file has no verdicts on these ROIs.
    """
    step = results.record.step
    good = read_passed(reader, step)
    if good is None and not results.pixels:
        return results
    if good is None or len(good) != len(results.pixels):
        msg = f"the file does not hold a verdict on each ROI of {step!r}"
        hint = f"nwbpipe qc FILE.nwb --measure --step {step}"
        raise RequestError(msg, where=reader.file.filename, hint=hint)
    return replace(results, cell=results.cell & good)


def compare_pair(first: ImagingResults, second: ImagingResults, *, truth: bool = False) -> StepPair:
    """Compare two results; with `truth`, the first is the simulated one."""
    rms, offset = _compare_motion(first, second)
    rows_a, rows_b = np.flatnonzero(first.cell), np.flatnonzero(second.cell)
    if truth and "dendrite" in first.kind:
        rows_a = np.arange(len(first.pixels))
    moved = first.shift_masks(round_offset(offset))
    iou = compute_iou([moved[k] for k in rows_a], [second.pixels[k] for k in rows_b])
    a, b = match_one_to_one(iou, MIN_IOU)
    values = iou[a, b]
    matches = [(int(rows_a[i]), int(rows_b[j])) for i, j in zip(a, b, strict=True)]
    count_a, count_b = len(rows_a), len(rows_b)
    if truth and "dendrite" in first.kind:
        extra = first.kind["dendrite"]
        found_extra = sum(bool(extra[row]) for row, _ in matches)
        count_a, count_b = count_a - int(extra.sum()), count_b - found_extra
        is_cell = [not extra[row] for row, _ in matches]
        matches, values = [match for match, cell in zip(matches, is_cell, strict=True) if cell], values[is_cell]
    return StepPair(
        first=first.record.step,
        second=second.record.step,
        matched=len(matches),
        only_first=count_a - len(matches),
        only_second=count_b - len(matches),
        recall=len(matches) / count_a if count_a else None,
        precision=len(matches) / count_b if count_b else None,
        iou=float(np.median(values)) if len(values) else None,
        trace_r=_median_correlation(first.traces, second.traces, matches),
        activity_r=_median_correlation(_smooth(first.activity), _smooth(second.activity), matches),
        motion_rms=rms,
        motion_offset=offset,
        pairs=matches,
    )


def round_offset(offset: tuple[float, float] | None) -> tuple[int, int]:
    """Return an offset (x, y) in whole pixels, by which masks can be moved; 0 where it is not known."""
    return (0, 0) if offset is None else (round(offset[0]), round(offset[1]))


def compute_iou(first: Sequence[NDArray[np.int64]], second: Sequence[NDArray[np.int64]]) -> Floats:
    """Return the intersection over union of each two sets of pixels, shape (first, second)."""
    iou = np.zeros((len(first), len(second)))
    owners: dict[int, list[int]] = {}
    for column, pixels in enumerate(second):
        for pixel in pixels.tolist():
            owners.setdefault(pixel, []).append(column)
    for row, pixels in enumerate(first):
        for pixel in pixels.tolist():
            for column in owners.get(pixel, ()):
                iou[row, column] += 1
        for column in np.flatnonzero(iou[row]).tolist():
            shared = iou[row, column]
            iou[row, column] = shared / (len(pixels) + len(second[column]) - shared)
    return iou


def match_one_to_one(scores: Floats, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the one-to-one assignment with the largest sum, of pairs whose score reaches the least."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        msg = "to match cells or units the package scipy is needed"
        raise ToolMissingError(msg, hint="pip install scipy") from error
    eligible = np.where(scores >= least, scores, 0.0)
    rows, columns = linear_sum_assignment(eligible, maximize=True)
    matched = eligible[rows, columns] > 0
    return rows[matched], columns[matched]


def _find_movie(results: ImagingResults) -> str:
    return next((item.path for item in results.record.inputs if item.name == "movie"), "unknown")


def _compare_motion(first: ImagingResults, second: ImagingResults) -> tuple[float | None, tuple[float, float] | None]:
    if first.shifts is None or second.shifts is None or len(first.shifts) != len(second.shifts):
        return None, None
    difference = second.shifts.mean(axis=1) - first.shifts.mean(axis=1)
    mean = np.median(difference, axis=0)
    rms = float(np.sqrt(((difference - mean) ** 2).mean()))
    return rms, (-float(mean[0]), -float(mean[1]))


def _median_correlation(first: Floats | None, second: Floats | None, matches: list[tuple[int, int]]) -> float | None:
    if first is None or second is None or not matches or len(first) != len(second):
        return None
    values = [_correlate(first[:, i], second[:, j]) for i, j in matches]
    return float(np.median(values))


def _correlate(first: Floats, second: Floats) -> float:
    """Return Pearson's r over the frames that are finite in both; 0 where a trace is constant."""
    finite = np.isfinite(first) & np.isfinite(second)
    if finite.sum() < 3:
        return 0.0
    a, b = first[finite] - first[finite].mean(), second[finite] - second[finite].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _smooth(activity: Floats | None) -> Floats | None:
    """Return sums over 3 frames, so that a spike that is one frame off still counts as the same."""
    if activity is None:
        return None
    padded = np.pad(activity, [(1, 1), (0, 0)])
    return np.asarray(padded[:-2] + padded[1:-1] + padded[2:])


def _find_varied_parameters(results: ImagingResults, methods: list[ImagingResults]) -> dict[str, Any]:
    """Return the parameters of a result whose values differ among those of the same processor."""
    parameters = results.record.parameters
    alike = [other.record.parameters for other in methods if other.record.processor == results.record.processor]
    names = dict.fromkeys(name for values in alike for name in values)
    return {n: parameters[n] for n in names if n in parameters and len({repr(v.get(n)) for v in alike}) > 1}


def _summarize_cost(results: ImagingResults, varied: dict[str, Any]) -> StepCost:
    record = results.record
    memory = record.resources.get("peak_memory_bytes")
    return StepCost(
        step=record.step,
        processor=record.processor,
        tool=record.tool,
        tool_version=record.tool_version,
        parameters=varied,
        rois=len(results.pixels),
        cells=int(results.cell.sum()),
        seconds=(record.ended - record.started).total_seconds() if record.resources else None,
        cpu_seconds=record.resources.get("cpu_seconds"),
        memory_mb=None if memory is None else memory / 1e6,
    )
