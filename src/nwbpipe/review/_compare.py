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
from nwbpipe.provenance import read_records
from nwbpipe.review._imaging_results import Floats, ImagingResults, read_imaging
from nwbpipe.review._quality import passed
from nwbpipe.session import check_readable

TRUTH = "simulation"  # processor of the step that a simulated file keeps its truth in
MIN_IOU = 0.5


@dataclass(frozen=True)
class StepCost:
    """What a step found, and what that took.

    Attributes
    ----------
    step, processor, tool, tool_version : str
        The run.
    parameters : dict
        Those whose values differ among the compared steps of the same processor.
    rois, cells : int
        ROIs, and those of them that the method calls cells.
    seconds, cpu_seconds, memory_mb : float or None
        Wall time, CPU time, peak memory; None where the record does not say.
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
    """Two steps beside each other; of the first, and of the second, only the cells count.

    Attributes
    ----------
    first, second : str
        The steps. Where `second` is measured against a simulated truth, `first` is that.
    matched, only_first, only_second : int
        Cells that both have, and that one has.
    recall, precision : float or None
        Matched among the first's cells, and among the second's.
    iou : float or None
        Median intersection over union of matched masks.
    trace_r, activity_r : float or None
        Median Pearson correlation of matched traces, and of the deconvolved activity smoothed over 3 frames.
    motion_rms, motion_offset : float or None, (float, float) or None
        Root mean square difference of the shifts (mean over planes) in pixels, after their mean difference (x, y),
        which is that of the two reference images, was taken off; masks were moved by it before they were matched.
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
    """Costs of each step, and each pair of them; pairs with a simulated truth come first.

    Where `passed_only`, cells are those that passed: by the verdicts in the file they did not fail.
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
    Cells are matched one to one, so that the sum of their IoU is largest (Hungarian algorithm); a pair below 0.5 is
    no match. Of a simulated truth, dendrites may be found or not: they are no cells to be missed, and to find one is
    no fault.

    Parameters
    ----------
    path : path
        The session file.
    *steps : str
        Two or more; one is enough in a simulated file.
    passed_only : bool
        Whether an ROI that fails, by the verdicts in the file, is no cell (see `measure_quality`). A simulated truth
        is not judged.

    Returns
    -------
    Comparison

    Raises
    ------
    UnknownNameError
        If the file has no imaging result of a step.
    RequestError
        If there is nothing to compare with, results are of different movies, or there are no verdicts to go by.
    """
    records = [one for one in read_records(check_readable(path)) if not one.superseded]
    truth = next((one.step for one in records if one.processor == TRUTH), None)
    names = list(dict.fromkeys(steps))
    found = {name: read_imaging(path, name) for name in names}
    if truth is not None and truth not in found:
        found = {truth: read_imaging(path, truth), **found}
    if len(found) < 2:
        msg = "there is nothing to compare with"
        given = ", ".join(names) or "none"
        hint = "`nwbpipe log FILE.nwb` shows the steps"
        raise RequestError(msg, where=str(path), expected="two steps or more", found=given, hint=hint)
    if len({_find_movie(one) for one in found.values()}) > 1:
        msg = "the steps are of different movies"
        movies = "; ".join(f"{name}: {_find_movie(one)}" for name, one in found.items())
        raise RequestError(msg, where=str(path), found=movies, hint="compare steps of one movie")
    if passed_only:
        found = {name: one if name == truth else select_passed_cells(path, one) for name, one in found.items()}
    methods = [one for name, one in found.items() if name != truth]
    costs = tuple(_summarize_cost(one, _find_varied_parameters(one, methods)) for one in methods)
    order = sorted(itertools.combinations(found, 2), key=lambda two: truth not in two)
    pairs = [(b, a) if b == truth else (a, b) for a, b in order]
    return Comparison(
        costs, tuple(compare_pair(found[a], found[b], truth=a == truth) for a, b in pairs), truth, passed_only
    )


def select_passed_cells(path: Path | str, results: ImagingResults) -> ImagingResults:
    """Return results of which only what passed is a cell.

    Raises
    ------
    RequestError
        If the file has no verdicts on these ROIs.
    """
    step = results.record.step
    good = passed(path, step)
    if good is None and not results.pixels:
        return results
    if good is None or len(good) != len(results.pixels):
        msg = f"the file does not hold a verdict on each ROI of {step!r}"
        raise RequestError(msg, where=str(path), hint=f"nwbpipe qc FILE.nwb --measure --step {step}")
    return replace(results, cell=results.cell & good)


def compare_pair(first: ImagingResults, second: ImagingResults, *, truth: bool = False) -> StepPair:
    """Compare two results; `truth` says that the first is what was simulated."""
    rms, offset = _compare_motion(first, second)
    rows_a, rows_b = np.flatnonzero(first.cell), np.flatnonzero(second.cell)
    if truth and "dendrite" in first.kind:
        rows_a = np.arange(len(first.pixels))
    moved = first.shift_masks(round_offset(offset))
    iou = compute_iou([moved[k] for k in rows_a], [second.pixels[k] for k in rows_b])
    a, b = match_cells(iou)
    values = iou[a, b]
    matches = [(int(rows_a[i]), int(rows_b[j])) for i, j in zip(a, b, strict=True)]
    count_a, count_b = len(rows_a), len(rows_b)
    if truth and "dendrite" in first.kind:
        extra = first.kind["dendrite"]
        found_extra = sum(bool(extra[row]) for row, _ in matches)
        count_a, count_b = count_a - int(extra.sum()), count_b - found_extra
        kept = [not extra[row] for row, _ in matches]
        matches, values = [match for match, keep in zip(matches, kept, strict=True) if keep], values[kept]
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
    """Return an offset (x, y) in whole pixels, by which masks can be moved; none where it is not known."""
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


def match_cells(iou: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the one-to-one assignment with the largest sum, of pairs that reach `MIN_IOU`."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        msg = "to match cells the package scipy is needed"
        raise ToolMissingError(msg, hint="pip install 'nwbpipe[imaging]'") from error
    eligible = np.where(iou >= MIN_IOU, iou, 0.0)
    rows, columns = linear_sum_assignment(eligible, maximize=True)
    kept = eligible[rows, columns] > 0
    return rows[kept], columns[kept]


def _find_movie(results: ImagingResults) -> str:
    return next((one.path for one in results.record.inputs if one.name == "movie"), "unknown")


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
    """Pearson's r over the frames that both know; 0 where a trace is constant: it says nothing of the other."""
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 3:
        return 0.0
    a, b = first[known] - first[known].mean(), second[known] - second[known].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _smooth(activity: Floats | None) -> Floats | None:
    """Sum over 3 frames: a spike that is a frame off is still that spike."""
    if activity is None:
        return None
    padded = np.pad(activity, [(1, 1), (0, 0)])
    return np.asarray(padded[:-2] + padded[1:-1] + padded[2:])


def _find_varied_parameters(results: ImagingResults, methods: list[ImagingResults]) -> dict[str, Any]:
    """Parameters of a result whose values are others in another one of the same processor."""
    own = results.record.parameters
    alike = [one.record.parameters for one in methods if one.record.processor == results.record.processor]
    names = dict.fromkeys(name for one in alike for name in one)
    return {n: own[n] for n in names if n in own and len({repr(one.get(n)) for one in alike}) > 1}


def _summarize_cost(results: ImagingResults, varied: dict[str, Any]) -> StepCost:
    record = results.record
    memory = record.resources.get("peak_memory_bytes")
    known = bool(record.resources)
    return StepCost(
        step=record.step,
        processor=record.processor,
        tool=record.tool,
        tool_version=record.tool_version,
        parameters=varied,
        rois=len(results.pixels),
        cells=int(results.cell.sum()),
        seconds=(record.ended - record.started).total_seconds() if known else None,
        cpu_seconds=record.resources.get("cpu_seconds"),
        memory_mb=None if memory is None else memory / 1e6,
    )
