"""Decode running speed from spikes on held-out blocks: a data set that can't leak, and a linear decoder.

    python examples/decode_speed.py FOLDER

Writes three simulated sessions into FOLDER, exports them as a data set, and fits a ridge regression for each. The
simulation knows how well a decoder can do; the script fails if this one is far below, or if it decodes shuffled
targets. Needs `pip install 'nwbpipe[ml]'`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.file import Subject

from nwbpipe.export import ml

RATE, SECONDS = 50.0, 240.0  # of the wheel: samples per second, and length of a session
DECLARATION = {
    "nwbpipe": 1,
    "dataset": {"name": "speed from spikes", "window": 1.0, "bin": 0.1, "licence": "CC0-1.0"},
    "inputs": {"spikes": {"units": "units", "where": "quality = 'good'", "normalise": "zscore"}},
    "targets": {"speed": {"series": "speed"}},
    "split": {"by": "block", "block": 12.0, "gap": 1.0, "train": 0.6, "valid": 0.2, "test": 0.2},
}


def simulate_session(path: Path, subject: str, number: int, seconds: float = SECONDS, units: int = 30) -> Path:
    """Write a session: speed wanders, the rate of each good unit follows it, that of each fifth unit does not."""
    random = np.random.default_rng([number, *subject.encode()])
    samples = int(seconds * RATE)
    noise = random.normal(size=samples + 200)
    kernel = np.exp(-0.5 * (np.arange(-100, 101) / 25) ** 2)  # half a second
    speed = np.convolve(noise, kernel, mode="valid") / np.sqrt((kernel**2).sum())
    nwbfile = NWBFile(
        session_description="simulated running",
        identifier=f"{subject} {number}",
        session_start_time=datetime(2024, 5, 1, 10, tzinfo=UTC) + timedelta(days=number),
        session_id=f"day{number}",
        subject=Subject(subject_id=subject, species="Mus musculus", sex="F", age="P90D"),
    )
    nwbfile.add_acquisition(TimeSeries(name="speed", data=speed, unit="cm/s", rate=RATE, starting_time=0.0))
    nwbfile.add_unit_column("quality", "whether it is a single unit")
    nwbfile.add_unit_column("mean_rate", "spikes per second")
    nwbfile.add_unit_column("gain", "change of the logarithm of the rate for one cm/s")
    for unit in range(units):
        is_good = unit % 5 != 0
        gain = random.choice([-1.0, 1.0]) * random.uniform(0.5, 0.9) if is_good else 0.0
        mean_rate = random.uniform(5, 15)
        rates = mean_rate * np.exp(gain * speed - gain**2 / 2)
        counts = random.poisson(rates / RATE)
        times = (np.repeat(np.arange(samples), counts) + random.uniform(size=counts.sum())) / RATE
        quality = "good" if is_good else "noise"
        columns = {"quality": quality, "mean_rate": mean_rate, "gain": gain}
        nwbfile.add_unit(spike_times=np.sort(times), obs_intervals=[[0.0, seconds]], **columns)
    nwbfile.add_trial_column("go_cue", "when it sounded")
    nwbfile.add_trial_column("choice", "side")
    for start in np.arange(1.0, seconds - 3.0, 3.0):
        choice = "left" if speed[int((start + 1.0) * RATE)] > 0 else "right"
        nwbfile.add_trial(start_time=start, stop_time=start + 2.0, go_cue=start + 0.5, choice=choice)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def fit_ridge(inputs: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
    """Return the weights of a ridge regression, the last one the constant."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    penalty = strength * np.eye(design.shape[1])
    penalty[-1, -1] = 0.0
    return np.linalg.solve(design.T @ design + penalty, design.T @ target)


def score(weights: np.ndarray, inputs: np.ndarray, target: np.ndarray) -> float:
    """Return the explained part of the variance (R²)."""
    predicted = np.column_stack([inputs, np.ones(len(inputs))]) @ weights
    return float(1 - ((target - predicted) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def find_best_score(dataset: ml.MlDataset, session: str) -> float:
    """Return the R² that a decoder of single bins can reach at most: Poisson spikes hold no more information."""
    units = dataset.sessions[session].data["spikes"].columns
    information = (units["mean_rate"] * units["gain"] ** 2).sum() * dataset.declaration.dataset.bin
    return float(1 - 1 / (1 + information))  # speed has the variance 1


def decode(dataset: ml.MlDataset, session: str, shuffles: int = 20) -> tuple[float, float]:
    """Fit on the training part of a session, choose the strength on the validation part, and test.

    Returns
    -------
    score, chance : float
        R² on the test part, and the mean of those after the windows of the training target were shuffled.
    """
    arrays = {}
    for name in ("train", "valid", "test"):
        part = dataset.part(name).of_session(session)
        inputs, target = part.stack("spikes"), part.stack("speed")
        arrays[name] = inputs.reshape(-1, inputs.shape[-1]), target.reshape(len(target), -1)
    inputs, target = arrays["train"]

    def fit_and_score(windows: np.ndarray) -> float:
        fits = [fit_ridge(inputs, windows.ravel(), strength) for strength in (1.0, 10.0, 100.0)]
        best = max(fits, key=lambda weights: score(weights, arrays["valid"][0], arrays["valid"][1].ravel()))
        return score(best, arrays["test"][0], arrays["test"][1].ravel())

    random = np.random.default_rng(0)
    chance = [fit_and_score(target[random.permutation(len(target))]) for _ in range(shuffles)]
    return fit_and_score(target), float(np.mean(chance))


def main(folder: Path, seconds: float = SECONDS) -> dict[str, tuple[float, float, float]]:
    """Return R² of the decoder, of the best one, and of shuffled targets, for each session."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        simulate_session(folder / f"{subject}_{number}.nwb", subject, number, seconds)
        for subject, number in (("M1", 1), ("M1", 2), ("M2", 3))
    ]
    ml.export_dataset(files, DECLARATION, folder / "dataset")
    dataset = ml.load_dataset(folder / "dataset")
    ml.assert_no_leakage(dataset)
    scores = {}
    for session in dataset.sessions:
        found, chance = decode(dataset, session)
        scores[session] = found, find_best_score(dataset, session), chance
        print("{}: R² {:.2f} of {:.2f} at most, shuffled {:.2f}".format(session, *scores[session]))
    return scores


def is_right(found: float, best: float, chance: float) -> bool:
    """Return True if a score is near the best one, and shuffled targets are not decoded."""
    return found > 0.9 * best and chance < 0.1


if __name__ == "__main__":
    if not all(is_right(*scores) for scores in main(Path(sys.argv[1])).values()):
        sys.exit("the decoder is far below the best one, or decodes shuffled targets")
