"""Two clocks of one real session, aligned by what both recorded; read with numpy and pandas alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters.clocks.pulses import match_intervals, match_pulses
from tests.converters import raw

pytestmark = pytest.mark.real_data
PPD = "photometry/pyphotometry/m53_NAc_L-2019-11-24-093939.ppd"


@pytest.fixture
def cues(shared_data: Path) -> np.ndarray:
    return np.load(shared_data / "photometry" / "pyphotometry" / "reward_cue_times.npy")


@pytest.fixture
def box(shared_data: Path) -> tuple[np.ndarray, float]:
    """Rising edges of Digital1, and the time of a sample, in seconds."""
    content = (shared_data / PPD).read_bytes()
    size = int.from_bytes(content[:2], "little")
    rate = json.loads(content[2 : 2 + size])["sampling_rate"]
    high = np.frombuffer(content[2 + size :], "<u2")[::2] & 1
    return (np.flatnonzero(np.diff(high.astype(int)) == 1) + 1) / rate, 1 / rate


def test_cues_and_the_pulses_of_pyphotometry(cues: np.ndarray, box: tuple[np.ndarray, float]) -> None:
    """137 cues of the behaviour system are followed by 137 pulses on the box: the same clock, 0.504 s later."""
    pulses, sample = box
    match = match_pulses(cues, pulses)
    assert match.is_accepted
    assert (match.best.num_pairs, match.best.missed, match.best.extra) == (137, 0, 0)
    line = match.best.fit.line
    assert line.offset_s == pytest.approx(0.504, abs=0.001)
    assert abs(line.drift) < 1e-6
    assert np.abs(pulses - match.best(cues)).max() <= sample


def test_cues_align_a_session(shared_data: Path, tmp_path: Path, cues: np.ndarray, monkeypatch) -> None:
    from nwbpipe.converters import load_spec
    from nwbpipe.converters._build import build_nwbfile

    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(shared_data))
    (tmp_path / "events.csv").write_text("t,kind\n" + "".join(f"{t!r},cue\n" for t in map(float, cues)))
    inputs = {"interface": "PyPhotometryEventsInterface", "args": {"file_path": f"raw://{PPD}"}}
    sources = {"inputs": inputs, "task": raw.events()}
    clock = {
        "align": "pulses",
        "pulses": {"source": "task", "events": "Cue"},
        "reference_pulses": {"source": "inputs", "events": "Digital1"},
        "tolerance_s": 0.0077,
    }

    (record,) = build_nwbfile(load_spec(raw.write_spec(tmp_path, sources, clocks={"task": clock}))).alignments
    assert record.n_matched == 137
    assert record.offset_s == pytest.approx(0.504, abs=0.001)
    assert record.residual_max_s <= 1 / 130


@pytest.mark.parametrize(("channel", "count"), [("Input0", 2106), ("Input1", 1896)])
def test_neurophotometrics_events_on_two_clocks(shared_data: Path, channel: str, count: int) -> None:
    """FP3002 stamps its digital inputs by its own clock, and by that of the computer (ms)."""
    pandas = pytest.importorskip("pandas")
    file = "photometry/neurophotometrics/versions/version_5/_neurophotometrics_fpData.digitalInputs.pqt"
    table = pandas.read_parquet(shared_data / file).query("ChannelName == @channel")
    system, computer = table["SystemTimestamp"].to_numpy(), table["ComputerTimestamp"].to_numpy() / 1e3
    match = match_pulses(system, computer)
    assert match.is_accepted
    assert match.best.num_pairs == count
    assert match.best.fit.line.offset_s == pytest.approx(39164.02, abs=0.01)
    assert 2 < match.best.fit.line.drift * 1e6 < 3
    assert np.abs(computer - match.best(system)).max() < 0.01  # the camera's frames are 16.7 ms apart
    found = match_intervals(system[100:400], computer[:600], tolerance_s=0.02)
    assert found.verdict == "accepted"
    assert found.of_reference[0] - found.of_source[0] == 100


def test_neurophotometrics_trials_of_another_clock_are_not_accepted(shared_data: Path) -> None:
    pandas = pytest.importorskip("pandas")
    folder = shared_data / "photometry" / "neurophotometrics" / "versions"
    trials = pandas.read_parquet(folder / "version_5" / "_ibl_trials.table.pqt")["intervals_0"].to_numpy()
    other = pandas.read_parquet(folder / "version_2" / "_neurophotometrics_fpData.digitalInputs.pqt")
    pulses = other.loc[other["Value.Value"], "Timestamp"].to_numpy()
    assert not match_pulses(trials, pulses).is_accepted


def test_tdt_events(shared_data: Path) -> None:
    """The tank's own event streams: presses come in a pattern that repeats, ticks and frames are even."""
    folder = shared_data / "photometry" / "tdt_pmat_no_tev" / "Photometry-161823"
    kind = [("head", "V8"), ("code", "S4"), ("place", "V4"), ("time", "<f8"), ("rest", "V16")]
    records = np.fromfile(next(folder.glob("*.tsq")), dtype=kind)
    rng = np.random.default_rng(0)

    def times(code: bytes) -> np.ndarray:
        return np.unique(records["time"][records["code"] == code])

    assert (len(times(b"PAB/")), len(times(b"Tick")), len(times(b"Vid1"))) == (30, 661, 9933)
    ticks = times(b"Tick")
    other = ticks[5:] - 1.4865e9 + rng.normal(0, 1e-3, len(ticks) - 5)
    assert not match_pulses(other, ticks).is_accepted
    match = match_pulses(other, ticks[5:], start_within_s=0.2)
    assert match.is_accepted
    assert match.best.fit.line.at - match.best.fit.line.centre == pytest.approx(1.4865e9, abs=0.01)
    # Frame times vary by milliseconds: against a clock that is exact to 0.1 ms that anchors them.
    frames = times(b"Vid1")
    match = match_pulses(frames[40:] - 1.4865e9 + rng.normal(0, 1e-4, len(frames) - 40), frames)
    assert match.is_accepted
    assert match.best.of_reference[0] == 40
    assert not match_pulses(times(b"PAB/")[:20] + rng.normal(0, 0.01, 20), times(b"PAB/")).is_accepted


def test_the_miniscope_cameras_share_no_pulses(shared_data: Path) -> None:
    """Both are stamped by one computer; frames of two cameras are no common events, and are not taken for such."""
    folder = shared_data / "miniscope_session" / "regression_2d"
    stamps = {
        name: np.loadtxt(folder / f"{name}_timestamp.csv", delimiter=",", skiprows=1)[:, 1]
        for name in ("neural", "behavior")
    }
    assert stamps["neural"][0] - stamps["behavior"][0] == pytest.approx(0.973, abs=0.001)
    assert not match_pulses(stamps["neural"], stamps["behavior"]).is_accepted
    assert not match_pulses(stamps["neural"] - stamps["neural"][0], stamps["behavior"]).is_accepted
    # The same frames on a second clock are found, though frames are nearly even.
    second = (stamps["behavior"][500:4000] - 1.7e9) * (1 + 30e-6) + np.random.default_rng(0).normal(0, 2e-4, 3500)
    match = match_pulses(second, stamps["behavior"])
    if match.is_accepted:
        assert match.best.of_reference[0] == 500
