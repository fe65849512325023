"""What is learned reaches what the data allow: a simulation's truth, and more than chance in a real brain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.export import ml
from tests.export.ml_sessions import ROOT

SESSION = "sub-anm372793_ses-20170508.nwb"  # one neuron, 340 trials: which side to lick


def decode_side(path: Path, seed: int, shuffles: int) -> tuple[float, list[float]]:
    """Return the balanced accuracy of the instructed side on held-out blocks, and those of shuffled targets."""
    declaration = {
        "nwbpipe": 1,
        "dataset": {"name": "side", "around": "trials.start_time", "window": [0.0, 7.2], "bin": 0.6},
        "inputs": {"spikes": {"units": "units"}},
        "targets": {"side": {"column": "trials.type"}},
        "split": {"by": "block", "block": 120.0, "gap": 2.0, "train": 0.6, "valid": 0.0, "test": 0.4, "seed": seed},
    }
    dataset = ml.open_dataset([path], declaration)
    ml.assert_no_leakage(dataset)
    counts, side = {}, {}
    for name in ("train", "test"):
        part = dataset.part(name)
        counts[name] = np.column_stack([part.stack("spikes").reshape(len(part), -1), np.ones(len(part))])
        side[name] = part.stack("side") == 1
    inverse = np.linalg.inv(counts["train"].T @ counts["train"] + np.eye(counts["train"].shape[1]))

    def fit_and_score(target: np.ndarray) -> float:
        weights = inverse @ counts["train"].T @ (2.0 * target - 1)
        is_right = (counts["test"] @ weights > 0) == side["test"]
        return float(np.mean([is_right[side["test"]].mean(), is_right[~side["test"]].mean()]))

    random = np.random.default_rng(seed)
    return fit_and_score(side["train"]), [fit_and_score(random.permutation(side["train"])) for _ in range(shuffles)]


@pytest.mark.real_data
def test_a_baseline_decodes_a_real_neuron_above_chance(shared_data: Path) -> None:
    path = next((shared_data / "nwb").rglob(SESSION))
    found, shuffled = zip(*(decode_side(path, seed, 300) for seed in range(3)), strict=True)
    chance = np.mean(shuffled, axis=0)
    assert abs(chance.mean() - 0.5) < 0.02
    assert np.mean(found) > np.quantile(chance, 0.995)


@pytest.mark.slow
@pytest.mark.long
def test_a_transformer_reads_several_sessions(tmp_path: Path) -> None:
    """It runs with torch, or with that of suite2p's environment, which has the same Python and numpy."""
    tools = Path(os.environ.get("NWBPIPE_TOOLS", ""))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    place = tools / "suite2p" / "lib" / version / "site-packages"
    code = "import sys, runpy; sys.path.append(sys.argv.pop(1)); import torch; torch.set_num_threads(2)"
    script = ROOT / "examples" / "train_transformer.py"
    code += f"; sys.path.insert(0, {str(script.parent)!r}); runpy.run_path({str(script)!r}, run_name='__main__')"
    words = [sys.executable, "-c", code, str(place), str(tmp_path)]
    look = [sys.executable, "-c", "import sys; sys.path.append(sys.argv[1]); import torch", str(place)]
    if subprocess.run(look, capture_output=True, check=False).returncode:
        pytest.skip("torch is not installed, nor suite2p with its own")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    assert done.stdout.count("R²") == 3
