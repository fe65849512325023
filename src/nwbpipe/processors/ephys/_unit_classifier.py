"""Read a trained classifier of units, and label units by it: a part of compute modules.

A `.skops` file names the types that it is made of, and nothing of it is run before they were looked at. skops trusts
its own list of types; others (the trees of a random forest, a lab's own classes) are taken where the user trusts the
folder. Pickles are never read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: Types beside skops's own list that hold numbers alone.
_PLAIN = frozenset({"numpy.dtype"})
#: Names up to SpikeInterface 0.103.1, the present ones, and the sign.
_RENAMED = {
    "peak_to_valley": ("peak_to_trough_duration", 1.0),
    "peak_trough_ratio": ("peak_after_to_trough_ratio", -1.0),
    "half_width": ("trough_half_width", 1.0),
}


class Classifier:
    """A pipeline of scikit-learn, with the metrics that it needs and the labels that it gives."""

    def __init__(self, pipeline: Any, labels: dict[int, str]) -> None:
        self.pipeline, self.labels = pipeline, labels

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that it was trained on, in order."""
        return [str(name) for name in self.pipeline.feature_names_in_]

    @property
    def names(self) -> list[str]:
        """The labels that it can give."""
        return [self._name(value) for value in np.asarray(self.pipeline.classes_).tolist()]

    def label(self, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Return the label of each of some units, and the probability of it.

        Raises
        ------
        ValueError
            If a metric that it was trained on was not measured.
        """
        import pandas

        values, missing = {}, []
        for name in self.metrics:
            present, sign = (name, 1.0) if name in columns else _RENAMED.get(name, (name, 1.0))
            if present in columns:
                values[name] = sign * np.asarray(columns[present], "float64")[rows]
            else:
                missing.append(name)
        if missing:
            raise ValueError(
                f"the classifier needs metrics that were not measured: {', '.join(missing)}; next: measure the units "
                "with metrics=all, or take a classifier that was trained without them"
            )
        with np.errstate(over="ignore"):
            table = pandas.DataFrame(values).astype("float32").replace([np.inf, -np.inf], np.nan)
        classes = self.pipeline.predict(table)
        probability = np.max(self.pipeline.predict_proba(table), axis=1)
        return [self._name(value) for value in classes.tolist()], probability

    def _name(self, value: Any) -> str:
        if not self.labels:
            return str(value)
        if int(value) not in self.labels:
            raise ValueError(f"the classifier gives a label {value!r} that its model_info.json does not name")
        return self.labels[int(value)]


def find_model(folder: Path) -> Path:
    """Return the one `.skops` file of a folder."""
    files = sorted(folder.glob("*.skops"))
    if len(files) != 1:
        others = sorted(path.name for path in folder.iterdir() if path.is_file())
        raise ValueError(
            f"{folder.name}: expected one .skops file (pickles are not read); found "
            f"{', '.join(path.name for path in files) or 'none, but ' + (', '.join(others)[:200] or 'no file')}"
        )
    return files[0]


def load_classifier(folder: Path, is_trusted: bool) -> Classifier:
    """Read the classifier of a folder: its `.skops` file, and `model_info.json` where there is one.

    Raises
    ------
    ValueError
        If it holds types that could run code, and the folder is not trusted; or is no classifier of metrics.
    """
    import skops.io
    from sklearn.pipeline import Pipeline

    path = find_model(folder)
    unknown = sorted(str(name) for name in skops.io.get_untrusted_types(file=path))
    doubtful = [name for name in unknown if name not in _PLAIN]
    if doubtful and not is_trusted:
        raise ValueError(
            f"{path.name} holds types that could run code: {', '.join(doubtful)}; next: if you know where it comes "
            f"from: nwbpipe trust {folder}"
        )
    pipeline = skops.io.load(path, trusted=unknown)
    needed = ("feature_names_in_", "predict", "predict_proba")
    if not isinstance(pipeline, Pipeline) or not all(hasattr(pipeline, name) for name in needed):
        raise ValueError(
            f"{path.name} does not classify units: expected a Pipeline of scikit-learn that was fitted to a table "
            f"with names and gives probabilities; found {type(pipeline).__name__}"
        )
    return Classifier(pipeline, read_labels(folder))


def check_names(classifier: Classifier, step: str) -> None:
    """Refuse a classifier of noise that calls no unit ``noise``: noise would be taken for neural units.

    Raises
    ------
    ValueError
        If it is the one of ``noise_neural``, and lacks that label.
    """
    if step == "noise_neural" and "noise" not in classifier.names:
        raise ValueError(
            f"the classifier in {step} gives no label 'noise', but {', '.join(classifier.names)}; next: name its "
            'labels in model_info.json: {"label_conversion": {"0": "noise", "1": "neural"}}'
        )


def read_labels(folder: Path) -> dict[int, str]:
    """Return the text of each of the classifier's labels, of `model_info.json`."""
    path = folder / "model_info.json"
    if not path.is_file():
        return {}
    try:
        conversion = json.loads(path.read_text(encoding="utf-8")).get("label_conversion") or {}
        return {int(key): str(value) for key, value in conversion.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"model_info.json can't be read: {error}") from error
