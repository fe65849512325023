"""A trained network as an artefact: its files, its evaluation, and what it was trained on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Results
from nwbpipe.provenance import canonical_json, digest


def write_model(folder: Path, results: Results, context: Context) -> None:
    """Write a model's files, ``model.json``, ``learning_curve.csv`` and ``training_index.json``.

    Parameters
    ----------
    folder : Path
        Empty.
    results : Results
        ``files/<name>``: bytes; ``labelled``: JSON with ``bodyparts``, ``skeleton`` and ``frames`` (see
        `LabelledProject`), and ``individuals`` of several animals; in the summary ``learning_curve``, and what
        ``model.json`` gets.
    context : Context
    """
    summary, labelled = results.summary, json.loads(results.arrays["labelled"][()].tobytes())
    write_files(folder, results)
    rows = summary["learning_curve"]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "learning_curve.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    frames = {
        frame["name"]: {"image": frame["image"], "labels": digest(canonical_json(frame["points"]))}
        for frame in labelled["frames"]
    }
    write_json(folder / "training_index.json", frames)
    model = {
        **{name: value for name, value in summary.items() if name != "learning_curve"},
        "bodyparts": labelled["bodyparts"],
        "skeleton": labelled["skeleton"],
        **({"individuals": labelled["individuals"]} if labelled.get("individuals") else {}),
        "likelihood_cutoff": context.params.likelihood_cutoff,
    }
    write_json(folder / "model.json", model)


def write_files(folder: Path, results: Results) -> None:
    """Write the files that a compute module left in its results."""
    for name, content in results.arrays["files"].items():
        (folder / name).write_bytes(np.asarray(content[()]).tobytes())


def read_model(folder: Path) -> dict[str, Any]:
    try:
        model: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        nodes = [make_node(part) for part in model["bodyparts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = "the model has no list of its keypoints"
        raise InputError(
            msg, where=str(folder), expected="model.json", found=str(error), hint="train it again"
        ) from error
    if len(set(nodes)) != len(nodes):
        raise InputError("two keypoints of the model get one name in NWB", where=str(folder), found=", ".join(nodes))
    return model


def make_node(part: str) -> str:
    return part.replace("/", "_").replace(":", "_")


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
