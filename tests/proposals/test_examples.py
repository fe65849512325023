"""Proposals for real recordings and for the demo's raw folder agree with the specs that were written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbpipe.proposals import ProposedSource, propose
from tests.examples.checking import EXAMPLES

# The folder of each example below the recordings.
FOLDERS = {
    "dlc_openfield": "pose/dlc_openfield",
    "edf": "ephys/edf",
    "ephys_behavior_session": "ephys_behavior_session/jdb_to_nwb",
    "ibl_biased": "behavior/ibl_bpod/session_biased_ge5",
    "ibl_bpod": "behavior/ibl_bpod/session_training_ge5",
    "ibl_bpod_old": "behavior/ibl_bpod/session_biased_lt5",
    "ibl_camera": "behavior/ibl_bpod/session_ephys/raw_video_data",
    "ibl_encoder_events": "behavior/ibl_bpod/session_ephys/raw_behavior_data",
    "ibl_photometry": "photometry/ibl_cortexlab",
    "ibl_training_old": "behavior/ibl_bpod/session_training_lt5",
    "ibl_trials": "behavior/ibl_trials",
    "ibl_wheel": "behavior/ibl_bpod/wheel/ge5",
    "medpc": "behavior/medpc",
    "miniscope_session": "miniscope_session/regression_2d",
    "neurophotometrics": "photometry/neurophotometrics/versions/version_1",
    "neuroscope": "sorting/neuroscope_A2929",
    "open_ephys_legacy": "ephys/open_ephys/v0.6.7_OpenEphys",
    "pyphotometry": "photometry/pyphotometry",
    "sleap": "pose/sleap_analysis_example",
    "suite2p_fissa": "segmentation/suite2p_fissa",
    "tdt_events": "photometry/tdt_pmat_no_tev",
    "two_photon": "imaging/sima",
}
# Sources that a person has thought of: a second reading of one log, events out of a table of trials.
BY_HAND = {("ephys_behavior_session", "blocks"), ("ibl_photometry", "feedback")}
# Arguments that are a person's choice, not in the files: which values are kept, what codes mean, how a wheel turns.
CHOICES = {
    "value_columns", "value_names", "value_column", "names", "column_descriptions", "skip_events", "block_column",
    "event_names", "event_meanings", "time_columns", "duration_columns", "description", "time_series_name",
    "keep_mua_units", "time_zero", "time_wrap", "direction", "max_step", "on_reset", "dimension_order",
}  # fmt: skip
# Sources that are proposed beyond the example's: other recordings of the folder, lines that it leaves out.
MORE = {
    "edf": 5, "ibl_bpod": 1, "ibl_bpod_old": 1, "ibl_photometry": 1, "ibl_training_old": 1, "open_ephys_legacy": 2,
    "pyphotometry": 3, "two_photon": 3,
}  # fmt: skip


def paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from paths_in(item)


def resolve(value: Any, root: Path) -> Any:
    """Read the paths of a hand-written spec."""
    if isinstance(value, dict):
        return {key: resolve(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, root) for item in value]
    if isinstance(value, str) and value.startswith("raw://"):
        return root / value.removeprefix("raw://")
    return value


def is_the_same(source: ProposedSource, interface: str, wanted: dict[str, Any]) -> bool:
    """Return True if a proposed source is the hand-written one, but for what is a person's to say."""
    if source.interface != interface or set(paths_in(dict(source.args))) != set(paths_in(wanted)):
        return False
    given = {name: value for name, value in wanted.items() if name not in CHOICES}
    own = {name: value for name, value in source.args.items() if name not in CHOICES}
    assert set(source.missing) <= {*given, *CHOICES}, f"{source.name}: {source.missing} are in no spec by hand"
    given = {name: value for name, value in given.items() if name not in source.missing}
    return {name: str(value) for name, value in given.items()} == {name: str(value) for name, value in own.items()}


@pytest.mark.parametrize("name", FOLDERS)
def test_sources_and_interfaces_are_those_of_the_example(name: str, shared_data: Path, tmp_path: Path) -> None:
    proposal = propose(shared_data / FOLDERS[name], tmp_path / "session.yaml")
    spec = yaml.load((EXAMPLES / name / "session.yaml").read_text(), Loader=yaml.SafeLoader)
    matched = 0
    for source_name, source in spec["sources"].items():
        if (name, source_name) in BY_HAND:
            continue
        wanted = resolve(source["args"], shared_data)
        fitting = [item for item in proposal.sources if is_the_same(item, source["interface"], wanted)]
        same = [item for item in proposal.sources if item.interface == source["interface"]]
        matched += len(fitting)
        assert len(fitting) == 1, f"{source_name}: {wanted}\n{[(item.args, item.missing) for item in same]}"
    names = [(source.name, source.interface) for source in proposal.sources]
    assert len(proposal.sources) - matched == MORE.get(name, 0), names


def test_every_example_is_compared() -> None:
    assert set(FOLDERS) == {path.parent.name for path in EXAMPLES.glob("*/session.yaml")}
