"""Take trained classifiers of units as they are: the compute module.

`compute` leaves in ``results`` ``files/<model>/<name>`` (uint8): the `.skops` file and, where there is one,
`model_info.json` of each. That they can be read is seen here, and not in the first session.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import h5py
import numpy as np

from ._unit_classifier import check_names, find_model, load_classifier


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Read each classifier once; leave its files, and return the metrics and labels of each."""
    models = {}
    for name, bound in request["inputs"].items():
        folder = Path(bound["folder"])
        progress(0.0, name)
        classifier = load_classifier(folder, request["facts"]["trusted"][name])
        check_names(classifier, name)
        models[name] = {"metrics": classifier.metrics, "labels": list(classifier.labels.values())}
        for path in (find_model(folder), folder / "model_info.json"):
            if path.is_file():
                kept = path.name if path.suffix == ".json" else "model.skops"
                results[f"files/{name}/{kept}"] = np.frombuffer(path.read_bytes(), dtype="uint8")
    return {"models": models}
