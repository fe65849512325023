"""Old public names give the object, with a warning."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from nwbpipe import project, quality, review, run, session, simulate

NAMES: dict[str, dict[str, Any]] = {
    "nwbpipe.engine": {
        "Comparison": review.Comparison,
        "Cost": review.StepCost,
        "Difference": run.Difference,
        "Finding": session.FileFinding,
        "Health": project.Health,
        "Judged": review.QualityVerdict,
        "Pair": review.StepPair,
        "Project": project.Project,
        "Removed": session.RemovalReport,
        "Report": session.CheckReport,
        "Run": run.Run,
        "SessionQuality": review.SessionQuality,
        "Status": project.ProjectStatus,
        "Watcher": project.Watcher,
        "check": session.check,
        "compare": review.compare,
        "curate": review.curate,
        "curated_cells": review.read_curated_cells,
        "dockerfile": project.render_watch_dockerfile,
        "imaging_steps": review.list_imaging_steps,
        "load": run.load,
        "measure_quality": review.measure_quality,
        "passed": review.passed,
        "process": run.process,
        "read_labels": review.read_labels,
        "remove_step": session.remove_step,
        "rename_step": session.rename_step,
        "repack": session.repack,
        "systemd_unit": project.render_systemd_unit,
        "unmeasured": review.list_unmeasured_steps,
        "verdicts": review.verdicts,
        "verify_run": run.verify_run,
    },
    "nwbpipe.quality": {
        "Behavior": quality.BehaviorData,
        "Measure": quality.BehaviorMeasure,
        "behavior_quality": quality.measure_behavior,
        "known_metrics": quality.list_metrics,
    },
    "nwbpipe.session_file": {
        "check_readable": session.check_readable,
        "open_hdf5": session.open_hdf5,
        "read": session.read,
        "transaction": session.transaction,
        "update": session.update,
    },
    "nwbpipe.simulate": {"TwoPhoton": simulate.TwoPhotonSettings},
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_an_old_name_gives_the_object_with_a_warning(module: str, name: str) -> None:
    with pytest.warns(FutureWarning, match=rf"{module}.{name} will be removed in the next release: use nwbpipe\."):
        assert getattr(import_module(module), name) is NAMES[module][name]


@pytest.mark.parametrize("module", NAMES)
def test_a_name_that_never_was_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'never_was'"):
        _ = import_module(module).never_was


def test_the_old_argument_of_the_simulated_movie_gives_a_warning(tmp_path: Any) -> None:
    settings = simulate.TwoPhotonSettings(frames=20, size=(64, 64), cells=1)
    with pytest.warns(FutureWarning, match="now called `settings`"):
        truth = simulate.simulate_two_photon(tmp_path / "a.nwb", what=settings)
    assert truth.masks.shape == (1, 64, 64)
