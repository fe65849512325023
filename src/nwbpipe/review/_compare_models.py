"""Compare trained networks of pose by their errors on the same test frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nwbpipe.errors import InputError, RequestError
from nwbpipe.run import MODELS, StoredArtefact, list_artefacts


@dataclass(frozen=True)
class ModelErrors:
    """The errors of a network on the frames of its test.

    Attributes
    ----------
    model : str
        Address of the artefact.
    network : str
        Backbone, or channels.
    best_epoch : int or None
    keypoints : mapping of str to mapping
        ``mean`` and ``rmse`` in pixels, and ``n`` labels, by keypoint; ``all`` of all together.
    """

    model: str
    network: str
    best_epoch: int | None
    keypoints: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ModelComparison:
    """Networks beside each other.

    Attributes
    ----------
    models : tuple of ModelErrors
    frames : tuple of str
        The frames that all of them were tested on.
    """

    models: tuple[ModelErrors, ...]
    frames: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return asdict(self)


def compare_models(store: Path | str, *addresses: str) -> ModelComparison:
    """Compare networks by their errors on the frames of their tests, which have to be the same.

    Parameters
    ----------
    store : path
        Folder of the store ``models://``.
    *addresses : str
        ``models://STEP``, the newest artefact of a step, or ``models://STEP/KEY/IDENTITY``; a key and an identity may
        be shortened.

    Raises
    ------
    RequestError
        If an address means no artefact, or several.
    InputError
        If a network was not tested, or two were tested on other frames, labels or keypoints.
    """
    if len(addresses) < 2:
        msg = "models are compared with each other"
        raise RequestError(msg, expected="two addresses or more", found=", ".join(addresses) or "none")
    artefacts = [find_model(Path(store), address) for address in addresses]
    contents = [(artefact, _read_json(artefact, "model.json")) for artefact in artefacts]
    models = [_read_errors(artefact, content) for artefact, content in contents]
    tests = [_read_test(artefact, content) for artefact, content in contents]
    for model, test in zip(models[1:], tests[1:], strict=True):
        pair = f"{models[0].model} and {model.model}"
        if list(model.keypoints) != list(models[0].keypoints):
            msg = "the models have other keypoints"
            raise InputError(
                msg, where=pair, expected=", ".join(models[0].keypoints), found=", ".join(model.keypoints)
            )
        if test != tests[0]:
            differing = sorted(name for name in {*test, *tests[0]} if test.get(name) != tests[0].get(name))
            msg = "the models were tested on other frames, so their errors can't be compared"
            hint = "train them with the same test_frames, or the same seed and shuffle, on the same labels"
            raise InputError(msg, where=pair, expected="the same images and labels", found=differing[0], hint=hint)
    return ModelComparison(tuple(models), tuple(sorted(tests[0])))


def find_model(store: Path, address: str) -> StoredArtefact:
    """Return the artefact that an address means."""
    step, *parts = address.removeprefix(f"{MODELS}://").strip("/").split("/")
    # The newest of each content: a model that was made twice is one.
    newest = {item.folder: item for item in list_artefacts(store, step)}
    artefacts = sorted(newest.values(), key=lambda item: item.record.ended)
    key, identity = [*parts, "", ""][:2]
    chosen = [item for item in artefacts if item.record.key.startswith(key) and item.identity.startswith(identity)]
    if not chosen or len(parts) > 2:
        listed = ", ".join(item.address for item in artefacts) or "none of this step"
        raise RequestError("there is no such model", where=address, expected=listed, hint="`nwbpipe log --project`")
    if key and len(chosen) > 1:
        raise RequestError(
            "the address means several models", where=address, found=", ".join(i.address for i in chosen)
        )
    return chosen[-1]


def _read_json(artefact: StoredArtefact, name: str) -> Any:
    try:
        return json.loads((artefact.folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = "the artefact is not a trained network of pose"
        raise InputError(msg, where=artefact.address, expected=name, found=str(error)) from error


def _read_errors(artefact: StoredArtefact, model: Any) -> ModelErrors:
    try:
        test = model["evaluation"]["test"]
        keypoints = {"all": test["all"], **{part: test[part]["all"] for part in model["bodyparts"]}}
    except (KeyError, TypeError) as error:
        msg = "the model was not tested here"
        hint = "models that were loaded have no test frames: track a video with both, and compare the poses"
        raise InputError(msg, where=artefact.address, expected="an evaluation in model.json", hint=hint) from error
    network = model.get("backbone") or ", ".join(map(str, model.get("channels", ()))) + " channels"
    return ModelErrors(artefact.address, str(network), model.get("best_epoch"), keypoints)


def _read_test(artefact: StoredArtefact, model: Any) -> dict[str, tuple[str, str]]:
    """Return the digests of the image and the labels of each test frame, by its name."""
    index = _read_json(artefact, "training_index.json")
    names: Sequence[str] = model["evaluation"]["test"]["frames"]
    try:
        return {name: (index[name]["image"], index[name]["labels"]) for name in names}
    except (KeyError, TypeError) as error:
        msg = "the model's index lacks a frame that it was tested on"
        raise InputError(msg, where=artefact.address, expected="training_index.json", found=str(error)) from error
