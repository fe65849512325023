"""The labelled frames of a DeepLabCut project: what is read, what its identity depends on, what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbpipe.errors import InputError
from nwbpipe.processors.pose import DeepLabCutModel, DeepLabCutTrain
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def project(lab: Path) -> Path:
    return lab / "dlc" / "box"


def test_labels_are_those_that_pandas_reads(project: Path) -> None:
    labelled = read_labelled_project(project)
    table = pd.read_hdf(project / "labeled-data/v0/CollectedData_sim.h5")
    points = np.array([frame.points for frame in labelled.frames], dtype=float)
    assert labelled.bodyparts == ("snout", "tailbase")
    assert labelled.skeleton == (("snout", "tailbase"),)
    assert labelled.project_path == "/data/box"
    seen = table.dropna(how="all")
    np.testing.assert_allclose(points.reshape(len(seen), -1), seen.to_numpy(), equal_nan=True)
    assert [frame.name for frame in labelled.frames] == [f"v0/{name}" for _, _, name in seen.index]


def test_identity_is_that_of_the_labels(project: Path, tmp_path: Path) -> None:
    table, identity = project / "labeled-data/v0/CollectedData_sim.csv", read_labelled_project(project).identity
    replace(project / "config.yaml", "project_path: /data/box", "project_path: D:/elsewhere")
    moved = project.rename(tmp_path / "moved")
    table = moved / "labeled-data/v0/CollectedData_sim.csv"
    assert read_labelled_project(moved).identity == identity
    x = table.read_text().splitlines()[3].split(",")[3]
    replace(table, x, f"{float(x) + 0.5}")
    assert read_labelled_project(moved).identity != identity
    replace(table, f"{float(x) + 0.5}", x)
    assert read_labelled_project(moved).identity == identity
    image = next((moved / "labeled-data/v0").glob("*.png"))
    image.write_bytes(image.read_bytes() + b"\0")
    assert read_labelled_project(moved).identity != identity


def test_tables_of_older_versions_are_read(project: Path) -> None:
    path = project / "labeled-data/v0/CollectedData_sim.csv"
    before = read_labelled_project(project)
    rows = [row.split(",") for row in path.read_text().splitlines()]
    older = [[r[0], *r[3:]] if r[0] != "labeled-data" else ["\\".join(r[:3]), *r[3:]] for r in rows]
    path.write_text("\n".join(",".join(row) for row in older))
    assert read_labelled_project(project) == before


def test_the_real_project_is_read(shared_data: Path) -> None:
    labelled = read_labelled_project(shared_data / "pose/dlc_openfield")
    assert labelled.bodyparts == ("snout", "leftear", "rightear", "tailbase")
    assert len(labelled.frames) == 116
    assert labelled.frames[0].points[0] == (21.521, 265.428)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: (p / "config.yaml").unlink(), "not a project of DeepLabCut"),
        (lambda p: (p / "config.yaml").write_text("a: [1"), "config.yaml can't be read"),
        (
            lambda p: replace(p / "config.yaml", "multianimalproject: false", "multianimalproject: true"),
            "individuals",
        ),
        (
            lambda p: replace(p / "config.yaml", "bodyparts:\n- snout\n- tailbase\n", "bodyparts: []\n"),
            "no keypoints",
        ),
        (lambda p: replace(p / "config.yaml", "- tailbase", "- tail_tip"), "'tail_tip' has no label"),
        (lambda p: replace(p / "config.yaml", "scorer: sim", "scorer: somebody"), "no labelled frames"),
        (lambda p: next((p / "labeled-data/v0").glob("*.png")).unlink(), "a labelled image is missing"),
        (lambda p: replace(p / "labeled-data/v0/CollectedData_sim.csv", "coords", "x"), "not a table"),
        (
            lambda p: replace(p / "labeled-data/v0/CollectedData_sim.csv", "img0002.png,", "img0002.png,a"),
            "not a num",
        ),
        (lambda p: replace(p / "labeled-data/v0/CollectedData_sim.csv", "img0002.png", "img0000.png"), "two rows"),
    ],
)
def test_what_can_not_be_trained_is_refused(project: Path, change, message: str) -> None:
    change(project)
    with pytest.raises(InputError, match=message):
        read_labelled_project(project)


def test_weights_of_tensorflow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no weights"):
        DeepLabCutTrain().identify_folder("weights", tmp_path)
    (tmp_path / "snapshot-1000.index").touch()
    with pytest.raises(InputError, match="with TensorFlow"):
        DeepLabCutTrain().identify_folder("weights", tmp_path)
    (tmp_path / "snapshot-best-010.pt").write_bytes(b"weights")
    identity = DeepLabCutTrain().identify_folder("weights", tmp_path)
    with pytest.raises(InputError, match="the model has no configuration"):
        DeepLabCutModel().identify_folder("trained", tmp_path)
    (tmp_path / "pytorch_config.yaml").write_text("method: bu")
    assert DeepLabCutModel().identify_folder("trained", tmp_path) != identity
    (tmp_path / "snapshot-best-005.pt").write_bytes(b"others")  # not the one that is taken
    assert DeepLabCutTrain().identify_folder("weights", tmp_path) == identity
