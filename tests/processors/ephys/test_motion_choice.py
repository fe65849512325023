"""Motion that is an input: it is read in the recording's own time, and refused where it is of another probe."""

import numpy as np
import pytest
from hdmf.common import DynamicTable, VectorData
from pynwb import TimeSeries

from nwbpipe.errors import InputError
from nwbpipe.processors import BoundInput, Context
from nwbpipe.processors.ephys import SpikeSorting, SpikeSortingParams, UnitQuality
from nwbpipe.processors.ephys._motion_choice import plan_motion
from nwbpipe.processors.ephys._recording import describe_recording
from tests.processors.ephys import recording as rec

MOVED = np.column_stack([np.linspace(-5.0, 5.0, 4), np.linspace(-8.0, 8.0, 4)]).astype("float32")


@pytest.fixture
def planned(tmp_path):
    """What is planned for two shanks of 40 channels, 4 s long, that begin at 100 s; motion is of the second."""

    def plan(
        params=None,
        name="Motion_drift",
        group="b",
        start=100.5,
        moved=MOVED,
        windows="MotionWindows_drift",
        method=None,
    ):
        places = np.concatenate([rec.column(40), rec.column(40) + np.array([500.0, 0.0])])
        groups = ["a"] * 40 + ["b"] * 40
        data = np.zeros((4000, 80), "int16")
        path = tmp_path / "s.nwb"
        rec.write_session(path, data, places=places, groups=groups, rate=1000.0, starting_time=100.0)
        with rec.opened(path, "a") as nwbfile:
            nwbfile.add_unit(spike_times=[100.5])
            module = nwbfile.create_processing_module("ecephys", "Motion.")
            module.add(
                TimeSeries(
                    name=name, description="Moved.", data=moved, unit="micrometers", rate=1.0, starting_time=start
                )
            )
            depths = VectorData(name="depth_um", description="Depth.", data=[100.0, 300.0])
            names = VectorData(name="group_name", description="Group.", data=[group, group])
            module.add(DynamicTable(name=windows, description="Windows.", columns=[depths, names]))
        with rec.opened(path) as nwbfile:
            bound = rec.context_of(nwbfile).inputs
            motion = nwbfile.processing["ecephys"][name]
            inputs = {
                **bound,
                "motion": BoundInput("motion", f"/processing/ecephys/{name}", "TimeSeries", motion.object_id),
            }
            if method is not None:
                inputs["units"] = BoundInput("units", "/units", "Units", nwbfile.units.object_id)
                return method().prepare(nwbfile, Context("s", method.Params(freq_min=100, freq_max=300), inputs))
            context = Context("sort", SpikeSortingParams(**(params or {})), inputs)
            series = nwbfile.acquisition["ElectricalSeries"]
            return plan_motion(nwbfile, context, series, describe_recording(series, rec.SERIES, needs=None))

    return plan


def test_motion_of_an_earlier_step_is_read_in_seconds_from_the_first_sample(planned):
    facts = planned()
    assert (facts["motion_method"], facts["motion_groups"]) == ("bound", [1])
    (bound,) = facts["motion_bound"]
    np.testing.assert_allclose(bound["displacement_um"], MOVED)
    np.testing.assert_allclose(bound["times_s"], [0.5, 1.5, 2.5, 3.5])
    assert (bound["group"], bound["depths_um"]) == (1, [100.0, 300.0])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"params": {"motion": "dredge"}}, "only one of them may decide"),
        ({"params": {"sorter_params": {"apply_motion_correction": True}}}, "only one of them may decide"),
        ({"name": "DriftRaster_drift"}, "not the motion of a probe"),
        ({"windows": "MotionWindows_other"}, "not the motion of a probe"),
        ({"moved": MOVED[:, :1]}, "not the motion of a probe"),
        ({"group": "c"}, "the motion is of another probe"),
        ({"start": 0.5}, "the motion is of another recording"),
        ({"moved": MOVED[:1]}, "the motion is of another recording"),
    ],
    ids=["parameter", "sorter's parameter", "raster", "no windows", "columns", "probe", "before", "too short"],
)
def test_motion_that_does_not_belong_to_the_recording_is_refused(planned, wrong, text):
    with pytest.raises(InputError, match=text):
        planned(**wrong)


@pytest.mark.parametrize("method", [SpikeSorting, UnitQuality])
def test_processors_that_correct_motion_take_it_as_an_input(planned, method):
    assert method.inputs["motion"].optional
    facts = planned(method=method)
    assert (facts["motion_method"], facts["motion_groups"]) == ("bound", [1])
