"""Trained networks beside each other, on the same test frames."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from nwbpipe.cli import main
from nwbpipe.errors import InputError, RequestError
from nwbpipe.project import Project
from nwbpipe.review import compare_models
from nwbpipe.run import list_artefacts
from nwbpipe.run._artefacts import keep_artefact
from tests.processors.pose.test_deeplabcut_steps import run, stand_in  # noqa: F401

FRAMES = ("v/img1.png", "v/img2.png")


@pytest.fixture
def store(lab: Path) -> Path:
    """A store with the artefact of a run: its record serves for those that a test adds."""
    (lab / "nwbpipe.toml").write_text((lab / "nwbpipe.toml").read_text().partition("[steps.pose]")[0])
    assert run(Project(lab)) == 1
    return lab / "models"


def add_model(
    store: Path, step: str, error: float, *, labels: str = "a", parts=("snout", "tail"), key="0" * 64
) -> str:
    files = store.parent / f"files-{step}-{error}"
    files.mkdir(exist_ok=True)
    errors = {part: {"all": {"n": 2, "mean": error, "rmse": error}} for part in parts}
    test = {"frames": FRAMES, "all": {"n": 4, "mean": error, "rmse": error}, **errors}
    model = {"bodyparts": parts, "backbone": "resnet18", "best_epoch": 5, "evaluation": {"test": test}}
    (files / "model.json").write_text(json.dumps(model))
    index = {name: {"image": name, "labels": labels} for name in (*FRAMES, "v/img3.png")}
    (files / "training_index.json").write_text(json.dumps(index))
    (first,) = list_artefacts(store, "model")[:1]
    number = len(list(store.rglob("*.json")))
    ended = first.record.ended + timedelta(seconds=number)
    record = replace(first.record, step=step, key=key, run_id=f"{number:032x}", ended=ended)
    return keep_artefact(store, files, record).address


def test_errors_stand_side_by_side(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = add_model(store, "small", 2.5), add_model(store, "large", 1.25)
    comparison = compare_models(store, "models://small", second)
    assert [model.model for model in comparison.models] == [first, second]
    assert [model.keypoints["tail"]["mean"] for model in comparison.models] == [2.5, 1.25]
    assert comparison.frames == FRAMES
    with pytest.raises(SystemExit, match="0"):
        main(["compare", "models://small", "models://large", "--project", str(store.parent / "nwbpipe.toml")])
    printed = capsys.readouterr().out
    assert [line.split()[-3:] for line in printed.splitlines()[1:3]] == [["2.50"] * 3, ["1.25"] * 3]
    assert "on 2 test frames" in printed


def test_models_that_were_tested_on_other_frames_are_refused(store: Path) -> None:
    add_model(store, "small", 2.5)
    add_model(store, "relabelled", 1.25, labels="b")
    add_model(store, "others", 1.0, parts=("snout", "ear"))
    with pytest.raises(InputError, match="tested on other frames"):
        compare_models(store, "models://small", "models://relabelled")
    with pytest.raises(InputError, match="other keypoints"):
        compare_models(store, "models://small", "models://others")
    with pytest.raises(InputError, match="was not tested here"):  # the stand-in has no errors by keypoint
        compare_models(store, "models://small", "models://model")


def test_addresses(store: Path) -> None:
    add_model(store, "small", 2.5)
    add_model(store, "small", 2.0, key="1" * 64)
    old = compare_models(store, "models://small/0000", "models://small")
    assert [model.keypoints["all"]["mean"] for model in old.models] == [2.5, 2.0]
    add_model(store, "small", 2.5)  # made again: it is the newest now
    assert [
        m.keypoints["all"]["mean"] for m in compare_models(store, "models://small", "models://small/1").models
    ] == [
        2.5,
        2.0,
    ]
    for address in ("models://none", "models://small/2", "models://small/0/x/y"):
        with pytest.raises(RequestError, match="no such model"):
            compare_models(store, address, "models://small")
    with pytest.raises(RequestError, match="compared with each other"):
        compare_models(store, "models://small")
