"""Components of many sessions, against numpy on all samples at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe import errors
from nwbpipe.processors.behavior import SharedPca
from nwbpipe.processors.behavior import _shared_pca_compute as computing


def run(folder: Path, parts: list[np.ndarray], **params: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    sessions = []
    for number, part in enumerate(parts):
        path = folder / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["data"] = part
        facts = {"n_features": part.shape[1], "conversion": 0.5, "offset": 1.0}
        sessions.append({"inputs": {"series": {"file": str(path), "data": "data"}}, "facts": facts})
    request = {"sessions": sessions, "params": {"n_components": 2, "standardize": False} | params}
    with h5py.File(folder / "results.h5", "w") as results:
        summary = computing.compute(request, results, lambda fraction, text: None)
        return {name: results[name][()] for name in results}, summary


@pytest.fixture
def parts() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    mixing = rng.standard_normal((4, 4)) * [[10.0], [4.0], [1.0], [0.2]]
    return [rng.standard_normal((rows, 4)) @ mixing + 1e6 for rows in (70, 300, 1)]


@pytest.mark.parametrize("standardize", [False, True])
def test_it_is_the_decomposition_of_all_samples_together(
    standardize: bool, parts: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "_ROWS", 64)  # several blocks a session
    parts[1][5, 2] = np.nan
    found, summary = run(tmp_path, parts, standardize=standardize)
    samples = np.concatenate(parts) * 0.5 + 1.0
    samples = samples[np.isfinite(samples).all(axis=1)]
    scale = samples.std(axis=0, ddof=1) if standardize else np.ones(4)
    _, values, true = np.linalg.svd((samples - samples.mean(axis=0)) / scale, full_matrices=False)
    true *= np.sign(true[np.arange(4), np.abs(true).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(found["mean"], samples.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["scale"], scale, rtol=1e-9)
    np.testing.assert_allclose(found["components"], true[:2], atol=1e-6)
    np.testing.assert_allclose(found["explained_variance"], values[:2] ** 2 / (len(samples) - 1), rtol=1e-6)
    assert summary == {
        "n_components": 2, "n_samples": 370, "n_sessions": 3, "left_out": 1, "standardize": standardize,
        "explained": pytest.approx((values[:2] ** 2).sum() / (values**2).sum()),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "rows", "message"),
    [
        ({"n_components": 5}, 100, "there are 4 features"),
        ({}, 4, "too few for 4 features"),
        ({"standardize": True}, 100, "a feature never changes"),
    ],
)
def test_what_can_not_be_decomposed_is_refused(params: Any, rows: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path, [np.ones((rows, 4))], **params)


def test_sessions_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(errors.InputError, match="differ in their features"):
        SharedPca().check([{"n_features": 3, "unit": "V"}, {"n_features": 4, "unit": "V"}])
    with pytest.raises(errors.InputError, match="differ in their unit"):
        SharedPca().check([{"n_features": 3, "unit": "V"}, {"n_features": 3, "unit": "mm"}])
    SharedPca().check([{"n_features": 3, "unit": "V"}] * 2)
