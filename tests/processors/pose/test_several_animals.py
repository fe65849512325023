"""Several animals in a video: labels, how they are matched and linked, a result for each. Stand-ins compute."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors.pose import DeepLabCut, DeepLabCutTrain
from nwbpipe.processors.pose import _deeplabcut_animals as animals
from nwbpipe.processors.pose import _deeplabcut_load_compute as loading
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.processors.pose._pose_training import SessionLabels, add_pose_training, read_pose_training
from nwbpipe.processors.pose._poses import shorten_name
from nwbpipe.project import Project
from nwbpipe.simulate import BodyTruth, simulate_body_video
from tests.fixtures.projects import Inline, table
from tests.processors.pose.conftest import write_lab, write_video_session
from tests.processors.pose.test_deeplabcut_project import replace
from tests.processors.pose.test_deeplabcut_steps import NUMPY

STEPS = """
[steps.smooth]
processor = "pose_filter"
inputs.pose = "pose"
params = { min_likelihood = 0.01, median_frames = 3 }
[steps.rows]
processor = "synchronize"
inputs.series = "pose"
params = { rate_hz = 30, unaligned_clocks = true }
[steps.show]
processor = "labeled_video"
inputs.pose = "pose"
params = { min_likelihood = 0.01 }
[steps.only]
processor = "pose_filter"
inputs.pose = "pose/PoseEstimationMouse2"
"""
TRACKING = {"tracker": "ellipse", "box_margin_px": 0.0, "min_tracklet_frames": 3}


@pytest.fixture(scope="module")
def group_lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BodyTruth]:
    folder = tmp_path_factory.mktemp("group") / "lab"
    return folder, write_lab(folder, '{ network = "resnet10t" }', labelled=6, n_frames=12, animals=2)


@pytest.fixture
def lab(group_lab: tuple[Path, BodyTruth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for method, stand_in in ((DeepLabCut, "_pose_compute"), (DeepLabCutTrain, "_pose_train_compute")):
        monkeypatch.setattr(method, "tool", NUMPY)
        monkeypatch.setattr(method, "compute", f"tests.fixtures.{stand_in}")
    monkeypatch.setattr(DeepLabCutTrain, "tool_for", lambda self, params: NUMPY)
    return Path(shutil.copytree(group_lab[0], tmp_path / "lab"))


def test_each_animal_gets_a_pose_and_the_steps_after_it_take_them(lab: Path, group_lab) -> None:
    with (lab / "nwbpipe.toml").open("a") as file:
        file.write(STEPS)
    for _ in range(3):  # steps of each animal are known once the animals are
        summary = Project(lab).run(executor=Inline())
        assert not summary.failed, summary.failed
    assert set(table(Project(lab)).values()) == {"done"}
    (path,) = (lab / "models").rglob("model.json")
    assert json.loads(path.read_text())["individuals"] == ["mouse1", "mouse2"]
    file = lab / "nwb/s1.nwb"
    with NWBHDF5IO(file, "r") as io:
        behavior = io.read().processing["behavior"]
        assert not [name for name in behavior.data_interfaces if name.endswith("PoseEstimation_pose")]
        first, second = (behavior[f"PoseEstimationMouse{number}_pose"] for number in (1, 2))
        np.testing.assert_array_equal(first["tailbase"].data[3], [3, 1])
        np.testing.assert_array_equal(second["tailbase"].data[8], [8, 11])
        assert np.isnan(second["snout"].data[:6]).all()
        assert np.isfinite(second["snout"].data[6:]).all()
        np.testing.assert_array_equal(second["snout"].timestamps[:], group_lab[1].frame_times)
        assert first.skeleton.object_id == second.skeleton.object_id
        assert "Track mouse2, one of 2 animals" in second.description
        assert np.isnan(behavior["PoseEstimation_smooth_mouse2"]["snout"].data[0]).all()
        assert np.isfinite(behavior["PoseEstimation_smooth_mouse1"]["snout"].data[:]).all()
        assert "PoseEstimationMouse2_pose" in behavior["PoseEstimation_only"].description
        members = behavior["Synchronized_rows"].time_series
        assert set(members) == {"rows_PoseEstimationMouse1_pose", "rows_PoseEstimationMouse2_pose"}
        assert "PoseEstimationMouse1_pose, " in behavior["LabeledVideo_show"].description
    assert validate(path=str(file)) == []
    found = inspect_nwbfile(nwbfile_path=str(file), importance_threshold=Importance.CRITICAL)
    assert [message.message for message in found] == []


def steps_with(lab: Path, text: str) -> None:
    replace(lab / "nwbpipe.toml", 'inputs.model = "model"', f'inputs.model = "model"\nparams = {{ {text} }}')


def test_fewer_names_than_the_model_finds_are_tracked(lab: Path) -> None:
    steps_with(lab, 'individuals = ["alone"]')
    assert not Project(lab).run(executor=Inline()).failed
    with NWBHDF5IO(lab / "nwb/s1.nwb", "r") as io:
        names = set(io.read().processing["behavior"].data_interfaces)
    assert names == {"PoseEstimationAlone_pose", "Skeletons_pose"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('individuals = ["a", "b", "c"]', "2 different names, or fewer"),
        ('individuals = ["a b", "a-B"]', "2 different names, or fewer"),
    ],
)
def test_names_that_the_model_does_not_find_are_refused(lab: Path, params: str, message: str) -> None:
    steps_with(lab, params)
    (failed,) = Project(lab).run(executor=Inline()).failed
    assert message in str(failed)


def test_a_model_of_one_animal_takes_no_names(lab: Path) -> None:
    for config in lab.glob("dlc/box/config.yaml"):
        replace(config, "- mouse2\n", "")
    for labels in lab.glob("dlc/box/labeled-data/*/*.csv"):
        keep = [*range(3), *range(3, 11)]
        rows = [line.split(",") for line in labels.read_text().splitlines()]
        labels.write_text("\n".join(",".join(row[index] for index in keep) for row in rows) + "\n")
    project = read_labelled_project(lab / "dlc/box")
    assert (project.individuals, len(project.frames[0].points)) == ((), 4)
    steps_with(lab, 'individuals = ["a"]')
    (failed,) = Project(lab).run(executor=Inline()).failed
    assert "individuals is for a model of several animals" in str(failed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("uniquebodyparts: []", "uniquebodyparts: [corner]", "uniquebodyparts"),
        ("identity: false", "identity: true", "identity"),
        ("- mouse2\n", "- mouse1\n", "individuals"),
        ("- mouse2\n", "- mouse3\n", "another animal or keypoint"),
        ("multianimalproject: true", "multianimalproject: false", "labels of several animals"),
        ("- snout\n- tailbase\n- left\n- right\n\n", "- snout\n\n", "too few keypoints"),
    ],
)
def test_projects_that_can_not_be_learned_are_refused(lab: Path, old: str, new: str, message: str) -> None:
    replace(lab / "dlc/box/config.yaml", old, new)
    if "false" in new:
        replace(lab / "dlc/box/config.yaml", "  MULTI!\n", "- snout\n- tailbase\n")
    with pytest.raises(InputError, match=message):
        read_labelled_project(lab / "dlc/box")


def test_predicted_animals_are_matched_with_labelled_ones() -> None:
    labels = np.array([[[0, 0], [10, 0]], [[50, 50], [np.nan, np.nan]], [[90, 90], [95, 90]]])
    found = np.array([[[51, 50, 0.9], [60, 50, 0.9]], [[-1, -1, -1], [10, 1, 0.8]], [[-1.0] * 3] * 2])
    matched = animals.match_animals(animals.mark_absent(found), labels)
    np.testing.assert_array_equal(matched[1], found[0])
    np.testing.assert_array_equal(matched[0], [[np.nan] * 3, [10, 1, 0.8]])
    assert np.isnan(matched[2]).all()
    assert animals.count_missed(matched[None], labels[None]) == 3


def test_animals_in_a_session_file_stay_in_their_order(tmp_path: Path) -> None:
    truth = simulate_body_video(tmp_path / "pair.avi", seed=1, n_frames=4, animals=2)
    points = tuple((float(number), number + 0.5) for number in range(4))
    frames = {2: points, 3: ((None, None), *points[:0:-1])}
    file = write_video_session(tmp_path / "pair.nwb", truth)
    with nwbpipe.transaction(file) as nwbfile:
        video = nwbfile.acquisition["VideoTop"].object_id
        add_pose_training(nwbfile, "labels", SessionLabels(("a", "b"), (), "me", {video: frames}, ("zoe", "al")))
    with nwbpipe.read(file) as nwbfile:
        read = read_pose_training(nwbfile.processing["behavior"]["PoseTraining_labels"], "labels")
    assert (read.individuals, read.frames) == (("zoe", "al"), {video: frames})


def test_names_become_parts_of_names_in_nwb() -> None:
    assert [shorten_name(name) for name in ("mouse_1", "m-2 left", "Ä", "")] == ["Mouse1", "M2Left", "Ä", ""]


def test_models_of_several_animals_are_taken() -> None:
    metadata = {"bodyparts": ["a", "b"], "individuals": ["x", "y"]}
    head = {"bodypart": {"predictor": {"type": "PartAffinityFieldPredictor"}}}
    config = {"method": "BU", "metadata": metadata, "model": {"heads": head}}
    assert loading.list_animals(loading.check_config(config)) == ["x", "y"]
    assert loading.list_animals({"individuals": ["single"]}) == []


class Stitcher:
    """Stands in for DeepLabCut's: keeps what it was given, and returns one track of two."""

    given: dict

    @classmethod
    def from_dict_of_dict(cls, tracklets, n_tracks, min_length):
        if tracklets.get("short"):
            raise OSError("Tracklets are empty.")
        return cls()

    def build_graph(self):
        pass

    stitch = build_graph

    def format_df(self, names):
        import pandas as pd

        return pd.DataFrame([[1.0, 2.0, 0.5] * 3 + [np.nan] * 9] * 4)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Modules in the place of DeepLabCut's; ``assemblies`` are those that its tracker got."""
    seen = SimpleNamespace(assemblies=None, tracklets={"header": 0, 0: {"frame0": 1}})

    def build_tracklets(*, assemblies_data, **options):
        seen.assemblies, seen.options = assemblies_data, options
        return dict(seen.tracklets)

    parts = {
        "deeplabcut.core.trackingutils": {},
        "deeplabcut.pose_estimation_pytorch.apis.tracklets": {"build_tracklets": build_tracklets},
        "deeplabcut.refine_training_dataset.stitch": {"TrackletStitcher": Stitcher},
    }
    for name, content in parts.items():
        for depth in range(1, name.count(".") + 2):
            above = ".".join(name.split(".")[:depth])
            if above not in sys.modules:
                monkeypatch.setitem(sys.modules, above, ModuleType(above))
        vars(sys.modules[name]).update(content)
        if "core" in name:
            sys.modules["deeplabcut.core"].trackingutils = sys.modules[name]
            seen.utils = sys.modules[name]
    return seen


def test_animals_are_linked_to_tracks(tool: SimpleNamespace) -> None:
    found = np.full((5, 2, 3, 3), np.nan)
    found[0] = [[[1, 1, 0.9], [np.nan] * 3, [2, 2, 0.05]], [[5, 5, 0.9], [6, 6, 0.9], [7, 7, 0.9]]]
    found[1, 1] = found[0, 1]
    tracks = animals.link_animals(found, ["a", "b", "c"], 2, TRACKING)
    assert tracks.tracklets == 1
    # Whole animals first, a missing keypoint as -1, no identity; frames without an animal are there, too.
    np.testing.assert_array_equal(tool.assemblies[0][0], np.column_stack([found[0, 1], [-1] * 3]))
    np.testing.assert_array_equal(tool.assemblies[0][1][1], [-1] * 4)
    assert [len(tool.assemblies[frame]) for frame in range(5)] == [2, 1, 0, 0, 0]
    assert tool.options["track_method"] == "ellipse"
    assert tool.utils.kinematic_kf is animals.make_filter
    np.testing.assert_array_equal(tracks.poses[3, 0], [[1, 2, 0.5]] * 3)
    assert np.isnan(tracks.poses[:, 1]).all()
    assert np.isnan(tracks.poses[4]).all()  # after the last tracked frame


@pytest.mark.parametrize("tracklets", [{"header": 0}, {"header": 0, "short": {"frame0": 1}}])
def test_animals_that_are_nowhere_long_enough_are_not_tracked(tool: SimpleNamespace, tracklets: dict) -> None:
    tool.tracklets = tracklets
    tracks = animals.link_animals(np.full((5, 2, 3, 3), np.nan), ["a", "b", "c"], 2, TRACKING)
    assert np.isnan(tracks.poses).all()
