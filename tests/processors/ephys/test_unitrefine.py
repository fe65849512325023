"""Classifiers of units: what may be read of them, and the labels that they give."""

import json
import pickle
import warnings

import h5py
import numpy as np
import pynwb
import pytest
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pynwb.misc import Units

from nwbpipe.project import Project
from nwbpipe.run import process
from tests.fixtures.projects import HEAD, Inline
from tests.processors.ephys import recording as rec

pytest.importorskip("skops", reason="classifiers of units are files of skops")

METRICS = {"snr": [1.0, 8.0, 9.0, 8.5], "rp_contamination": [0.1, 0.0, 0.9, np.nan]}
STEPS = """
[steps.refine_model]
processor = "unitrefine_model"
scope = "project"
inputs.noise_neural = "models_of_mine/noise"
inputs.sua_mua = "models_of_mine/sua"
[steps.refined]
processor = "unitrefine"
inputs.quality = "UnitQuality_judged"
inputs.model = "refine_model"
"""


def train(folder, metrics, labels, *, forest=False, flip=False):
    """Train a classifier that says the second label from 0.5 on (below it: flip) of the first metric's range."""
    import pandas
    import skops.io
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    table = pandas.DataFrame({name: high * rng.uniform(0, 1, 200) for name, high in metrics.items()}).astype(
        "float32"
    )
    first = next(iter(metrics))
    classes = (table[first] > metrics[first] / 2).astype(int)
    last = RandomForestClassifier(5, random_state=0) if forest else LogisticRegression(C=100)
    steps = [("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler()), ("classifier", last)]
    pipeline = Pipeline(steps).fit(table, 1 - classes if flip else classes)
    folder.mkdir(parents=True)
    skops.io.dump(pipeline, folder / "mine.skops")
    info = {"label_conversion": {str(number): label for number, label in enumerate(labels)}, "requirements": {}}
    (folder / "model_info.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def project(tmp_path):
    """A project with one session, whose four units were measured, and two classifiers."""
    (tmp_path / "nwb").mkdir()
    path = rec.write_session(tmp_path / "nwb/s.nwb", np.zeros((100, 4), "int16"), places=rec.column(4))
    with rec.opened(path, "a") as nwbfile:
        module = nwbfile.create_processing_module("ecephys", "Units.")
        units = Units(name="Units_sort", description="Units.")
        for number in range(4):
            units.add_unit(spike_times=[0.1 * number])
        module.add(units)
        region = DynamicTableRegion(name="unit", description="The unit.", data=[0, 1, 2, 3], table=units)
        columns = [VectorData(name=name, description=name, data=values) for name, values in METRICS.items()]
        verdict = VectorData(name="verdict", description="Verdict.", data=["pass"] * 4)
        module.add(DynamicTable(name="UnitQuality_judged", description="Q.", columns=[region, *columns, verdict]))
    train(tmp_path / "models_of_mine/noise", {"snr": 10.0}, ["noise", "neural"])
    train(tmp_path / "models_of_mine/sua", {"rp_contamination": 1.0, "snr": 10.0}, ["sua", "mua"])
    (tmp_path / "nwbpipe.toml").write_text(HEAD + 'models = "models"\n' + STEPS)
    return Project(tmp_path)


def test_units_are_labelled_as_noise_then_as_single_or_multi_units(project, tmp_path):
    summary = project.run(executor=Inline())
    assert not summary.failed, summary.failed
    path = tmp_path / "nwb/s.nwb"
    with rec.opened(path) as nwbfile:
        table = nwbfile.processing["ecephys"]["UnitLabels_refined"]
        assert table["unit"].table is nwbfile.processing["ecephys"]["Units_sort"]
        # The first is noise; the contamination of the last is unknown, and taken for the median.
        assert list(table["unitrefine_label"][:3]) == ["noise", "sua", "mua"]
        assert table["unitrefine_label"][3] in ("sua", "mua")
        assert (table["unitrefine_probability"][:3] > 0.9).all()
        assert "models://refine_model/" in table.description
    process(path, "session_units", inputs={"units": "Units_sort", "quality": "UnitLabels_refined"})
    with rec.opened(path) as nwbfile:
        assert list(nwbfile.units["unitrefine_label"][:3]) == ["noise", "sua", "mua"]
    assert pynwb.validate(path=path) == []
    (file,) = (tmp_path / "models/refine_model").glob("*/*/model.json")
    kept = json.loads(file.read_text())
    assert kept["sua_mua"] == {"metrics": ["rp_contamination", "snr"], "labels": ["sua", "mua"]}
    # Another classifier is another artefact: its labels are stale.
    (tmp_path / "models_of_mine/noise/mine.skops").unlink()
    (tmp_path / "models_of_mine/noise/model_info.json").unlink()
    (tmp_path / "models_of_mine/noise").rmdir()
    train(tmp_path / "models_of_mine/noise", {"snr": 10.0}, ["noise", "neural"], flip=True)
    states = {step.run: step.state for plan in Project(tmp_path).status().plans for step in plan.steps}
    assert "done" not in states.values()


def test_a_file_with_other_types_is_refused_until_its_folder_is_trusted(tmp_path):
    from nwbpipe.processors.ephys._unit_classifier import load_classifier

    folder = train(tmp_path / "forest", {"snr": 10.0}, ["noise", "neural"], forest=True)
    with pytest.raises(ValueError, match=r"types that could run code: sklearn\.tree.*nwbpipe trust .*forest"):
        load_classifier(folder, is_trusted=False)
    labels, _ = load_classifier(folder, is_trusted=True).label({"snr": np.array([1.0, 9.0])}, np.arange(2))
    assert labels == ["noise", "neural"]


def test_pickles_are_not_read(tmp_path):
    from nwbpipe.processors.ephys._unit_classifier import load_classifier

    with (tmp_path / "model.pkl").open("wb") as file:
        pickle.dump({"a": 1}, file)
    for is_trusted in (False, True):
        with pytest.raises(
            ValueError, match=r"one \.skops file \(pickles are not read\); found none, but model\.pkl"
        ):
            load_classifier(tmp_path, is_trusted)


def test_what_is_no_classifier_of_metrics_is_refused(tmp_path):
    import skops.io
    from sklearn.preprocessing import StandardScaler

    from nwbpipe.processors.ephys._unit_classifier import load_classifier

    skops.io.dump(StandardScaler(), tmp_path / "scaler.skops")
    with pytest.raises(ValueError, match=r"scaler\.skops does not classify units.*found StandardScaler"):
        load_classifier(tmp_path, is_trusted=False)


def test_metrics_have_their_earlier_names_or_are_named_as_missing(tmp_path):
    from nwbpipe.processors.ephys._unit_classifier import load_classifier

    folder = train(tmp_path / "old", {"peak_trough_ratio": -1.0}, ["a", "b"])
    classifier = load_classifier(folder, is_trusted=False)
    # Trained on values from -1 to 0, "b" from -0.5 on; the sign of the present metric is the other one.
    labels, _ = classifier.label({"peak_after_to_trough_ratio": np.array([0.9, 0.1])}, np.array([1, 0]))
    assert labels == ["b", "a"]
    with pytest.raises(
        ValueError, match=r"metrics that were not measured: peak_trough_ratio; next: measure the units"
    ):
        classifier.label({"snr": np.zeros(2)}, np.arange(2))


@pytest.mark.parametrize(
    ("labels", "is_right"), [(["noise", "neural"], True), (["Noise", "neural"], False), ([], False)]
)
def test_a_classifier_of_noise_has_to_call_it_noise(tmp_path, labels, is_right):
    """Else noise would be given to the second classifier, as single units."""
    from nwbpipe.processors.ephys._unitrefine_model_compute import compute

    folder = train(tmp_path / "model", {"snr": 10.0}, labels)
    request = {"inputs": {"noise_neural": {"folder": str(folder)}}, "facts": {"trusted": {"noise_neural": False}}}
    with h5py.File(tmp_path / "results.h5", "w") as results:
        if is_right:
            assert compute(request, results, lambda *_: None)["models"]["noise_neural"]["labels"] == labels
        else:
            with pytest.raises(ValueError, match=r"gives no label 'noise', but .*model_info\.json"):
                compute(request, results, lambda *_: None)


def test_labels_that_model_info_does_not_name_are_refused(tmp_path):
    from nwbpipe.processors.ephys._unit_classifier import load_classifier

    folder = train(tmp_path / "model", {"snr": 10.0}, ["noise"])
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"gives a label 1 that its model_info\.json"):
        load_classifier(folder, is_trusted=False).label({"snr": np.array([9.0])}, np.arange(1))
