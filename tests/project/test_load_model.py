"""`nwbpipe load` of a model: an artefact of a step, which it writes to nwbpipe.toml, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.cli import main
from nwbpipe.errors import FileAccessError, InputError, NwbpipeError, RequestError, ToolError
from nwbpipe.files import _atomic
from nwbpipe.processors.pose import DeepLabCutModel
from nwbpipe.project import Project, _load_model, load_model
from nwbpipe.run import make_artefact
from tests.fixtures.processing import Scale
from tests.fixtures.projects import HEAD, table

TOML = HEAD.replace("nwbpipe = 1", "nwbpipe = 1  # ours")
SHUFFLE = "box/dlc-models-pytorch/iteration-0/boxMay1-trainset80shuffle1/train"
CONFIG = "bodyparts:\n- snout\n- tail\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and in its folder one of DeepLabCut with a trained shuffle."""
    monkeypatch.setattr(DeepLabCutModel, "tool", Scale.tool)
    monkeypatch.setattr(DeepLabCutModel, "compute", "tests.fixtures._taken_model_compute")
    folder = tmp_path / "lab"
    (folder / "nwb").mkdir(parents=True)
    (folder / "nwbpipe.toml").write_text(TOML)
    trained = folder / SHUFFLE
    trained.mkdir(parents=True)
    (folder / "box/config.yaml").write_text(CONFIG)
    (trained / "pytorch_config.yaml").write_text("metadata:\n  bodyparts: [tail, snout]\n")
    (trained / "snapshot-best-050.pt").write_bytes(b"weights")
    return folder


def test_a_model_becomes_an_artefact_and_a_step(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lab / "box")
    words = ["load", str(lab), "deeplabcut_model", f"../{SHUFFLE}", "--step", "old", "-p", "likelihood_cutoff=0.4"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "old: numpy" in shown
    assert 'bind it: inputs.model = "old"' in shown
    text = (lab / "nwbpipe.toml").read_text()
    assert text.startswith(TOML.rstrip())  # comments and order stay
    assert tomllib.loads(text)["steps"] == {
        "old": {
            "processor": "deeplabcut_model",
            "scope": "project",
            "inputs": {"trained": SHUFFLE},
            "params": {"likelihood_cutoff": 0.4},
        }
    }
    assert table(Project(lab)) == {"project/models old": "done"}
    (model,) = (lab / "models/old").glob("*/*/model.json")
    assert json.loads(model.read_text())["loaded"] is True
    again = load_model(lab, "deeplabcut_model", lab / SHUFFLE / "snapshot-best-050.pt", step="old")
    assert (again.run.computed, again.section, again.folder) == (False, "", model.parent)
    with pytest.raises(RequestError, match="another step 'old'"):
        load_model(lab, "deeplabcut_model", lab / SHUFFLE, step="old", params={"likelihood_cutoff": 0.9})
    with pytest.raises(RequestError, match="another step 'old'"):
        load_model(lab, "deeplabcut_model", lab / "box", step="old")
    assert (lab / "nwbpipe.toml").read_text() == text


def _remove_weights(trained: Path) -> None:
    (trained / "snapshot-best-050.pt").unlink()


def _put_tensorflow(trained: Path) -> None:
    _remove_weights(trained)
    (trained / "snapshot-50000.index").touch()


def _rename_keypoint(trained: Path) -> None:
    (trained / "pytorch_config.yaml").write_text("metadata:\n  bodyparts: [nose, tail]\n")


def _damage(trained: Path) -> None:
    (trained / "snapshot-best-050.pt").write_bytes(b"damaged")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_remove_weights, InputError, "has no weights"),
        (_put_tensorflow, InputError, "deeplabcut_train, inputs.project"),
        (_rename_keypoint, InputError, "other keypoints than its project has"),
        (_damage, ToolError, "does not fit"),
    ],
)
def test_what_is_refused_leaves_the_project_as_it_was(
    lab: Path, change: Callable[[Path], None], error: type[NwbpipeError], message: str
) -> None:
    change(lab / SHUFFLE)
    with pytest.raises(error) as caught:
        load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert message in str(caught.value)
    assert (lab / "nwbpipe.toml").read_text() == TOML
    assert not list(lab.glob("models/*/*/*.json"))
    assert sorted(path.name for path in lab.iterdir() if path.name.startswith(".nwbpipe.toml")) == []


def test_the_folder_to_name_is_told(lab: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_model(lab, "deeplabcut_model", lab / "box")
    assert SHUFFLE.removeprefix("box/") in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        load_model(lab, "deeplabcut_model", lab / "nowhere")
    with pytest.raises(RequestError, match="takes no model"):
        load_model(lab, "deeplabcut_train", lab / "box")
    (lab / "nwbpipe.toml").write_text("steps = {}\n" + TOML)
    with pytest.raises(RequestError, match="can't be added") as refused:
        load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert "[steps.deeplabcut_model]" in str(refused.value)


def test_a_file_that_was_edited_meanwhile_is_left(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(*arguments: Any, **options: Any) -> Any:
        (lab / "nwbpipe.toml").write_text(TOML + "# edited\n")
        return make_artefact(*arguments, **options)

    monkeypatch.setattr(_load_model, "make_artefact", edit)
    with pytest.raises(RequestError, match="was changed while"):
        load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert (lab / "nwbpipe.toml").read_text() == TOML + "# edited\n"


def test_one_of_several_files_of_weights_is_not_taken_for_another(lab: Path) -> None:
    (lab / SHUFFLE / "snapshot-060.pt").write_bytes(b"other weights")
    with pytest.raises(InputError, match="several files of weights"):
        load_model(lab, "deeplabcut_model", lab / SHUFFLE / "snapshot-060.pt")
    assert (lab / "nwbpipe.toml").read_text() == TOML


def test_line_ends_owner_and_link_of_the_file_stay(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(_atomic, "keep_attributes", lambda source, target: given.append((source, target)))
    (lab / "nwbpipe.toml").write_bytes(TOML.replace("\n", "\r\n").encode())
    (lab / "nwbpipe.toml").rename(lab / "ours.toml")
    (lab / "nwbpipe.toml").symlink_to("ours.toml")
    load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert (lab / "nwbpipe.toml").is_symlink()
    text = (lab / "ours.toml").read_bytes().decode()
    assert text.startswith(TOML.rstrip().replace("\n", "\r\n"))
    assert text.count("\n") == text.count("\r\n") == len(TOML.splitlines()) + 5
    ((source, target),) = given
    assert source == lab.resolve() / "ours.toml"
    assert not target.exists()


def test_a_file_that_may_not_be_written_is_told_first(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_load_model.os, "access", lambda path, mode: Path(path).name != "nwbpipe.toml")
        with pytest.raises(FileAccessError, match=r"can't be written") as caught:
            load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert "[steps.deeplabcut_model]" in str(caught.value)
    assert not (lab / "models").exists()

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_load_model, "create_file", refuse)
    with pytest.raises(FileAccessError, match="Permission denied"):
        load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert (lab / "nwbpipe.toml").read_text() == TOML


def test_what_is_no_text_is_told_before_the_model_is_tried(lab: Path) -> None:
    folder = lab / os.fsdecode(b"lab\xff")
    shutil.copytree(lab / SHUFFLE, folder)
    with pytest.raises(RequestError, match="can't be added") as caught:
        load_model(lab, "deeplabcut_model", folder)
    assert "lab\\udcff" in str(caught.value)
    str(caught.value).encode()
    (lab / "nwbpipe.toml").write_bytes(TOML.encode() + b"# \xe4\n")
    with pytest.raises(FileAccessError, match="can't be read"):
        load_model(lab, "deeplabcut_model", lab / SHUFFLE)
    assert not (lab / "models").exists()
