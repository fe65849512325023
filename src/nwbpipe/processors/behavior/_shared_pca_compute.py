"""Principal components of many sessions (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import h5py
import numpy as np

Progress = Callable[[float, str], None]
_ROWS = 1 << 16


def iter_blocks(one: dict[str, Any], facts: dict[str, Any]) -> Iterator[np.ndarray]:
    """Yield a session's samples in the series' unit: float64, shape (up to 65,536, n_features)."""
    with h5py.File(one["file"], "r", locking=False) as file:
        data = file[one["data"]]
        for start in range(0, len(data), _ROWS):
            rows = np.asarray(data[start : start + _ROWS], dtype=np.float64)
            yield rows * facts["conversion"] + facts["offset"]


def add_moments(moments: tuple[int, np.ndarray, np.ndarray], rows: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Add samples to count, mean and sum of products about the mean.

    The update of Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance": a large mean costs no
    digits, as it would in sums of squares.
    """
    count, mean, products = moments
    if not len(rows):
        return moments
    total = count + len(rows)
    block_mean = rows.mean(axis=0)
    centred = rows - block_mean
    apart = block_mean - mean
    products = products + centred.T @ centred + np.outer(apart, apart) * (count * len(rows) / total)
    return total, mean + apart * (len(rows) / total), products


def compute_components(products: np.ndarray, count: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first components (rows) and their variances; a component's largest loading is positive."""
    values, vectors = np.linalg.eigh(products / (count - 1))
    order = np.argsort(values)[::-1][:number]
    components = vectors[:, order].T
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    return components * np.sign(largest)[:, None], np.clip(values[order], 0.0, None)


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    sessions, params = request["sessions"], request["params"]
    n_features = sessions[0]["facts"]["n_features"]
    moments = (0, np.zeros(n_features), np.zeros((n_features, n_features)))
    left_out = 0
    for number, session in enumerate(sessions):
        for rows in iter_blocks(session["inputs"]["series"], session["facts"]):
            complete = np.isfinite(rows).all(axis=1)
            left_out += int((~complete).sum())
            moments = add_moments(moments, rows[complete])
        progress((number + 1) / len(sessions), "reading sessions")
    count, mean, products = moments
    if params["n_components"] > n_features:
        raise ValueError(f"n_components is {params['n_components']}, and there are {n_features} features")
    if count <= n_features:
        raise ValueError(f"{count} whole samples are too few for {n_features} features")
    deviation = np.sqrt(np.diag(products) / (count - 1))
    if params["standardize"] and not (deviation > 0).all():
        raise ValueError("a feature never changes: it can't be standardized")
    scale = deviation if params["standardize"] else np.ones(n_features)
    components, variance = compute_components(products / np.outer(scale, scale), count, params["n_components"])
    results["mean"], results["scale"] = mean, scale
    results["components"], results["explained_variance"] = components, variance
    total = float(np.sum(np.diag(products) / (count - 1) / scale**2))
    return {
        "n_components": len(components),
        "n_samples": count,
        "n_sessions": len(sessions),
        "left_out": left_out,
        "standardize": bool(params["standardize"]),
        "explained": float(variance.sum() / total) if total else 0.0,
    }
