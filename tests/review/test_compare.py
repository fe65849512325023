"""Comparison of imaging steps: against a truth that is known, and a method that errs in known ways."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.processors import Context
from nwbpipe.processors.imaging import Motion, Rois, Traces, write_motion, write_segmentation, write_traces
from nwbpipe.provenance import ObjectRecord, RunRecord, add_record
from nwbpipe.quality import ThresholdSet
from nwbpipe.review import Comparison, compare, measure_quality
from nwbpipe.review import _compare as comparing
from nwbpipe.review._compare_figure import COLORS
from nwbpipe.simulate import TwoPhotonTruth, simulate_two_photon
from tests.fixtures.processing import keep_places

CELLS = 6


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TwoPhotonTruth]:
    path = tmp_path_factory.mktemp("scan") / "scan.nwb"
    return path, simulate_two_photon(path, frames=200, size=(80, 64), cells=CELLS, dendrites=1, seed=2)


def masks_of(truth: TwoPhotonTruth, rows: list[int]) -> list[np.ndarray]:
    return [truth.masks[row] for row in rows]


def add_method(
    path: Path, step: str, masks: list[np.ndarray], traces: np.ndarray, shifts: np.ndarray | None, **record: object
) -> None:
    """Write results as a method would, with the record of a run."""
    with nwbpipe.transaction(path) as nwbfile:
        context = Context(step, None, {})
        module, movie = nwbfile.processing["ophys"], nwbfile.acquisition["TwoPhotonSeries"]
        before = set(module.data_interfaces)
        if shifts is not None:
            write_motion(module, context, movie, Motion(shifts.astype("f4")))
        if masks:
            pixels = [np.nonzero(mask) for mask in masks]
            rois = Rois(
                np.cumsum([len(x) for x, _ in pixels]),
                np.concatenate([x for x, _ in pixels]),
                np.concatenate([y for _, y in pixels]),
                np.concatenate([mask[mask > 0] for mask in masks]),
            )
            table = write_segmentation(module, context, movie, rois, "ROIs.")
            series = [Traces("RoiResponseSeries", traces, "F.")]
            write_traces(module, context, movie, table, fluorescence=series)
        new = [one for name, one in module.data_interfaces.items() if name not in before]
        values = RunRecord(
            key=f"key-{step}",
            run_id=step.encode().hex().ljust(32, "0"),
            step=step,
            processor="method",
            revision=1,
            tool="a tool",
            tool_version="1",
            parameters={"tau": 1.0, "same": 3},
            parameters_hash="",
            inputs=(ObjectRecord("movie", "/acquisition/TwoPhotonSeries"),),
            outputs=tuple(ObjectRecord(one.name, f"/processing/ophys/{one.name}") for one in new),
            started=datetime(2024, 5, 1, 10, 0, 0, tzinfo=UTC),
            ended=datetime(2024, 5, 1, 10, 0, 12, tzinfo=UTC),
            host="local",
            python="3.11",
            resources={"cpu_seconds": 20.0, "peak_memory_bytes": 5e8},
        )
        add_record(nwbfile, replace(values, **record))


@pytest.fixture(scope="module")
def with_methods(scan: tuple[Path, TwoPhotonTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method that misses two cells, finds one that is none and a dendrite, and has its reference at (3, -2)."""
    with keep_places(tmp_path_factory.mktemp("methods")) as folder:
        path, truth = Path(shutil.copy2(scan[0], folder / "scan.nwb")), scan[1]
        add_methods(path, truth)
    return path


def add_methods(path: Path, truth: TwoPhotonTruth) -> None:
    noise = np.random.default_rng(0)
    dendrite = int(np.flatnonzero(truth.dendrite)[0])
    rows = [0, 1, 2, 3, dendrite]
    false = np.zeros_like(truth.masks[0])
    false[40:44, 30:34] = ~truth.masks[:, 40:44, 30:34].any(axis=0)
    masks = [np.roll(mask, (3, -2), (0, 1)) for mask in (*masks_of(truth, rows), false)]
    traces = np.column_stack([truth.traces[:, rows], noise.random(200)])
    shifts = truth.shifts - [3, -2] + noise.normal(0, 0.1, (200, 2))
    add_method(path, "method", masks, traces + noise.normal(0, 0.1, traces.shape), shifts)
    add_method(path, "copy", masks[:3], 2 * traces[:, :3] + 5, truth.shifts, parameters={"tau": 0.5, "same": 3})
    add_method(path, "nothing", [], traces, truth.shifts)


@pytest.fixture
def file(with_methods: Path, tmp_path: Path) -> Path:
    """A copy, which may be changed."""
    return Path(shutil.copy2(with_methods, tmp_path / "scan.nwb"))


@pytest.fixture(scope="module")
def found(with_methods: Path) -> Comparison:
    with keep_places(with_methods.parent):
        return compare(with_methods, "method", "copy", "nothing")


def test_a_method_is_held_to_the_truth(found: Comparison) -> None:
    pair = found.pairs[0]
    assert (found.truth, pair.first, pair.second) == ("truth", "truth", "method")
    assert (pair.matched, pair.only_first, pair.only_second) == (4, 2, 1)  # the dendrite is neither missed nor false
    assert pair.recall == pytest.approx(4 / CELLS)
    assert pair.precision == pytest.approx(4 / 5)
    assert pair.iou == 1  # once the masks are laid on each other
    assert pair.motion_offset == pytest.approx((3, -2), abs=0.05)
    assert pair.motion_rms == pytest.approx(0.1, rel=0.15)
    assert pair.trace_r is not None
    assert pair.trace_r > 0.95
    assert pair.activity_r is None
    assert [first for first, _ in pair.pairs] == [0, 1, 2, 3]


def test_methods_are_compared_with_each_other(found: Comparison) -> None:
    pairs = {(pair.first, pair.second): pair for pair in found.pairs}
    assert [pair.first for pair in found.pairs[:3]] == ["truth"] * 3
    assert set(pairs) >= {("method", "copy"), ("method", "nothing"), ("copy", "nothing")}
    empty = pairs["method", "nothing"]
    assert (empty.matched, empty.only_first, empty.only_second) == (0, 6, 0)
    assert (empty.precision, empty.iou, empty.trace_r) == (None, None, None)
    assert empty.motion_rms == pytest.approx(0.1, rel=0.15)


def test_costs_come_from_the_records(found: Comparison) -> None:
    cost = found.costs[0]
    assert (cost.step, cost.seconds, cost.cpu_seconds, cost.memory_mb) == ("method", 12.0, 20.0, 500.0)
    assert (cost.rois, cost.cells) == (6, 6)
    assert [one.parameters for one in found.costs] == [{"tau": 1.0}, {"tau": 0.5}, {"tau": 1.0}]


def test_a_faint_skirt_is_no_part_of_a_mask(file: Path, scan: tuple[Path, TwoPhotonTruth]) -> None:
    truth = scan[1]
    masks = masks_of(truth, list(range(CELLS)))
    skirts = [mask + 0.2 * (np.roll(mask, 4, 0) & ~mask) for mask in masks]
    add_method(file, "skirts", skirts, truth.traces[:, :CELLS], truth.shifts)
    (pair,) = compare(file, "skirts").pairs
    assert (pair.matched, pair.iou) == (CELLS, 1)


def test_a_method_that_was_given_shifts_lies_where_they_say(file: Path, scan: tuple[Path, TwoPhotonTruth]) -> None:
    truth, place = scan[1], "/processing/ophys/MotionCorrectionShifts_method"  # whose reference is at (3, -2)
    masks = [np.roll(mask, (3, -2), (0, 1)) for mask in masks_of(truth, [0, 1, 2])]
    with h5py.File(file) as opened:
        object_id = str(opened[place].attrs["object_id"])
    for step, known in (("given", object_id), ("replaced", "another object")):
        inputs = (ObjectRecord("movie", "/acquisition/TwoPhotonSeries"), ObjectRecord("shifts", place, known))
        add_method(file, step, masks, truth.traces[:, :3], None, inputs=inputs)
    given, replaced = compare(file, "given", "replaced").pairs[:2]
    assert (given.iou, given.motion_rms) == (1, pytest.approx(0.1, rel=0.15))
    assert replaced.motion_rms is None
    assert replaced.iou is None or replaced.iou < 1


def test_parameters_of_other_processors_are_not_compared(file: Path, scan: tuple[Path, TwoPhotonTruth]) -> None:
    masks = masks_of(scan[1], [0])
    other = {"tau": 9.0, "sigma": 1}
    add_method(file, "else", masks, scan[1].traces[:, :1], scan[1].shifts, processor="another", parameters=other)
    costs = compare(file, "method", "copy", "else").costs
    assert [one.parameters for one in costs] == [{"tau": 1.0}, {"tau": 0.5}, {}]


def test_only_what_passed_is_compared(file: Path, tmp_path: Path) -> None:
    """What the method found beside cells has at most 16 pixels: by its area it fails."""
    with pytest.raises(RequestError, match="not hold a verdict") as refused:
        compare(file, "method", passed_only=True)
    assert "--measure --step method" in str(refused.value)
    by_area = ThresholdSet.from_dict({"name": "large", "roi": {"area": {"fail_below": 20}}})
    measure_quality(file, "method", thresholds=by_area)
    measure_quality(file, "copy", thresholds=by_area)
    (before,), (pair,) = compare(file, "method").pairs, compare(file, "method", passed_only=True).pairs
    assert (before.matched, before.only_second) == (4, 1)
    assert (pair.matched, pair.only_first, pair.only_second, pair.precision) == (4, 2, 0, 1.0)
    empty = compare(file, "method", "nothing", passed_only=True)  # a method that found nothing has nothing to judge
    assert [one.cells for one in empty.costs] == [5, 0]
    with pytest.raises(SystemExit):
        main(["compare", str(file), "method", "copy", "--passed-only", "--figure", str(tmp_path / "passed.png")])
    assert (tmp_path / "passed.png").stat().st_size > 10_000
    measure_quality_as(file, "again", "method")
    with pytest.raises(RequestError, match="more than one verdict"):
        compare(file, "method", passed_only=True)


def measure_quality_as(file: Path, step: str, of: str) -> None:
    inputs = {"movie": "TwoPhotonSeries", "segmentation": f"PlaneSegmentation_{of}"}
    nwbpipe.process(file, "imaging_quality", step=step, inputs=inputs)


def test_the_command_shows_and_draws(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", str(file), "method", "copy", "--figure", str(tmp_path / "a.png")])
    assert caught.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "tau=0.5" in shown
    assert "0.67" in shown
    drawn = imread(tmp_path / "a.png")[..., :3]
    for color in COLORS.values():  # beside the legend's line there are outlines of cells
        assert (np.abs(drawn - to_rgb(color)).max(axis=-1) < 0.02).sum() > 400
    with pytest.raises(SystemExit):
        main(["compare", str(file), "method", "--json"])
    read = json.loads(capsys.readouterr().out)
    assert read["pairs"][0]["matched"] == 4
    other = file.with_name("other.nwb")
    other.write_bytes(file.read_bytes())
    with pytest.raises(SystemExit):
        main(["compare", str(file), str(other), "method", "--json"])
    both = json.loads(capsys.readouterr().out)
    assert [one["pairs"][0]["matched"] for one in both.values()] == [4, 4]
    with pytest.raises(SystemExit) as caught:
        main(["compare", "method", "copy"])
    assert caught.value.code == 2


def test_what_cannot_be_compared_is_refused(file: Path, session_nwb: Path) -> None:
    with pytest.raises(UnknownNameError, match="no imaging result"):
        compare(file, "method", "suite2p")
    with pytest.raises(RequestError, match="nothing to compare"):
        compare(session_nwb)
    truth = [np.ones((80, 64), bool)]
    add_method(
        file,
        "elsewhere",
        truth,
        np.ones((200, 1)),
        np.zeros((200, 2)),
        inputs=(ObjectRecord("movie", "/acquisition/B"),),
    )
    with pytest.raises(RequestError, match="different movies"):
        compare(file, "method", "elsewhere")


def test_the_assignment_is_the_best_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    sets = [np.unique(rng.integers(0, 400, 60)) for _ in range(12)]
    order = rng.permutation(12)
    other = [np.unique(np.r_[sets[k][5:], rng.integers(400, 500, 3)]) for k in order]
    iou = comparing.compute_iou(sets, other)
    for a in range(12):
        for b in range(12):
            both = len(np.intersect1d(sets[a], other[b]))
            assert iou[a, b] == pytest.approx(both / len(np.union1d(sets[a], other[b])))
    rows, columns = comparing.match_one_to_one(iou, comparing.MIN_IOU)
    assert [int(order[b]) for b in columns] == rows.tolist() == list(range(12))
    assert comparing.match_one_to_one(np.array([[0.49]]), 0.5)[0].size == 0
    assert comparing.match_one_to_one(np.zeros((0, 3)), 0.5)[0].size == 0


def test_comparison_does_not_mind_scale_order_or_direction() -> None:
    rng = np.random.default_rng(1)
    trace = rng.normal(size=(50, 1))
    assert comparing._median_correlation(trace, 3 * trace + 2, [(0, 0)]) == pytest.approx(1)
    assert comparing._median_correlation(trace, -trace, [(0, 0)]) == pytest.approx(-1)
    assert comparing._median_correlation(trace, np.ones((50, 1)), [(0, 0)]) == 0
    holes = np.where(np.arange(50)[:, None] < 5, np.nan, trace)
    assert comparing._median_correlation(trace, holes, [(0, 0)]) == pytest.approx(1)


def test_a_spike_that_is_a_frame_off_is_still_that_spike() -> None:
    spikes = np.zeros((50, 1))
    spikes[[10, 30]] = 1
    late, missed = np.roll(spikes, 1, axis=0), np.roll(spikes, 5, axis=0)
    found = [
        comparing._median_correlation(comparing._smooth(spikes), comparing._smooth(one), [(0, 0)])
        for one in (late, missed)
    ]
    assert found == [pytest.approx(0.62, abs=0.02), pytest.approx(-0.14, abs=0.02)]
