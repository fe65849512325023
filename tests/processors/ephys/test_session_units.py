"""The units of all probes in one table."""

from datetime import UTC, datetime
from types import SimpleNamespace

import h5py
import numpy as np
import pynwb
import pytest
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pynwb.misc import Units

from nwbpipe.errors import InputError, ResultExistsError
from nwbpipe.processors.ephys import SpikeSortingParams
from nwbpipe.processors.ephys._session_units import SessionUnitsParams, build_table
from nwbpipe.processors.ephys._source_units import list_units
from nwbpipe.processors.ephys._units import units_table
from nwbpipe.review._curate_units import _build_table
from nwbpipe.review._unit_curation import CuratedUnit
from nwbpipe.run import process
from tests.processors.ephys import recording as rec

RIGHT = [[0.3, 0.9], [1.0, 1.1, 1.2]]


def write_two_probes(folder):
    """Units of two probes; those of the left one are curated: the first as it was, two that are one, and noise."""
    path = rec.write_session(
        folder / "s.nwb", np.zeros((100, 8), "int16"), places=rec.column(8), groups=["left"] * 4 + ["right"] * 4
    )
    with rec.opened(path, "a") as nwbfile, h5py.File(folder / "r.h5", "w") as file:
        module = nwbfile.create_processing_module("ecephys", "Units.")
        series = nwbfile.acquisition["ElectricalSeries"]
        tables = {}
        for number, (name, times) in enumerate({"left": [*rec.TIMES, [0.4]], "right": RIGHT}.items()):
            results = rec.fill(file.create_group(name), times[:3], range(4 * number, 4 * number + 4), seed=number)
            if number:
                results.arrays["spike_amplitudes"] = np.arange(5, dtype="float32")
            tables[name] = units_table(f"Units_{name}", nwbfile.electrodes, series, results, SpikeSortingParams())
            module.add(tables[name])
        spikes = np.arange(6)
        curated = [
            CuratedUnit("0", "good", (0,), spikes[:3]),
            CuratedUnit("1+2", "mua", (1, 2), spikes[3:]),
            CuratedUnit("x", "noise", (2,), spikes[5:]),
        ]
        when, run = datetime(2024, 1, 1, tzinfo=UTC), SimpleNamespace(run_id="r")
        module.add(_build_table("left_curation", tables["left"], curated, "A. Person", when, run))
        judged = DynamicTableRegion(name="unit", description="The unit.", data=[1, 0], table=tables["right"])
        d_prime = VectorData(name="l_ratio", description="Ratio.", data=[0.5, 0.25])
        module.add(DynamicTable(name="UnitQuality_right", description="Quality.", columns=[judged, d_prime]))
    return path


def test_units_of_all_probes_are_one_table(tmp_path):
    path = write_two_probes(tmp_path)
    inputs = {"units": "Units_left_curation,Units_right", "quality": "UnitQuality_*"}
    run = process(path, "session_units", inputs=inputs, params={"names": "allen"})
    assert [item.name for item in run.record.inputs] == ["units:1", "units:2", "quality:1"]
    assert run.record.outputs[0].path == "/units"
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        units = nwbfile.units
        found = [units["spike_times"][row].tolist() for row in range(len(units))]
        assert found == [rec.TIMES[0], sorted(rec.TIMES[1] + rec.TIMES[2]), *RIGHT]
        assert [group.name for group in units["electrode_group"].data[:]] == ["left"] * 2 + ["right"] * 2
        assert units["device_name"].data[:].tolist() == ["Probe"] * 4
        assert units["source_table"].data[:].tolist() == ["Units_left_curation"] * 2 + ["Units_right"] * 2
        assert units["source_row"].data[:].tolist() == [0, 1, 0, 1]
        assert units["quality_label"].data[:].tolist() == ["good", "mua", "", ""]
        np.testing.assert_array_equal(units["peak_electrode"].data[:], [0, 2, 4, 5])
        assert units["electrodes"].target.data[-4:].tolist() == [4, 5, 6, 7]
        source = nwbfile.processing["ecephys"]["Units_left"]
        np.testing.assert_array_equal(units["waveform_mean"].data[0], source["waveform_mean"].data[0])
        assert np.isnan(units["waveform_mean"].data[1]).all()  # of no single waveform that was measured
        np.testing.assert_allclose(units["snr"].data[:], [5.0, np.nan, 5.0, np.nan])
        np.testing.assert_allclose(units["L_ratio"].data[:], [np.nan, np.nan, 0.25, 0.5])
        np.testing.assert_array_equal(units["spike_amplitudes"][3], [2, 3, 4])
        assert np.isnan(units["spike_amplitudes"][0]).all()
        np.testing.assert_array_equal(units["obs_intervals"][1], [[0.0, 2.0]])
    assert not process(path, "session_units", inputs=inputs, params={"names": "allen"}).computed
    good = process(path, "session_units", inputs=inputs, params={"labels": ["good"]}, replace=True)
    with rec.opened(path) as nwbfile:
        assert len(nwbfile.units) == 1
    assert good.record.outputs[0].path == "/units"
    with pytest.raises(ResultExistsError, match="units already"):
        process(path, "session_units", step="second", inputs=inputs)


def test_a_table_of_all_units_can_be_part_of_another(tmp_path):
    """Where units come from is said anew; a metric keeps the name that the Allen Institute gives it."""
    path, allen = write_two_probes(tmp_path), SessionUnitsParams(names="allen")
    with rec.opened(path) as nwbfile:
        tables = nwbfile.processing["ecephys"]
        quality = [tables["UnitQuality_right"]]
        first = build_table(nwbfile, list_units(tables["Units_right"], quality), ["Units_right"], allen)
        units = [*list_units(first), *list_units(tables["Units_right"], quality)]
        both = build_table(nwbfile, units, ["units", "Units_right"], allen)
        assert both["source_table"].data == ["units"] * 2 + ["Units_right"] * 2
        assert both["source_row"].data.tolist() == [0, 1, 0, 1]
        np.testing.assert_array_equal(both["L_ratio"].data, [0.25, 0.5, np.nan, np.nan])
        np.testing.assert_array_equal(both["l_ratio"].data, [np.nan, np.nan, 0.25, 0.5])
        bare = Units(name="Units_bare", description="Of another lab.")
        bare.add_column("device_name", "Probe.")
        bare.add_unit(spike_times=[0.1], device_name="Their probe")
        mixed = build_table(nwbfile, [*list_units(bare), *list_units(first)], ["Units_bare", "units"], allen)
        assert mixed["device_name"].data == ["Their probe", "Probe", "Probe"]


def test_a_unit_is_not_put_there_twice(tmp_path):
    path = write_two_probes(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"(?s)in the table twice.*leave Units_left out"):
        process(path, "session_units", inputs={"units": "Units_*"})
    with pytest.raises(InputError, match=r"(?s)several objects could be the input 'units'"):
        process(path, "session_units")
    with pytest.raises(InputError, match="no object at 'Units_middle'"):
        process(path, "session_units", inputs={"units": "Units_left,Units_middle"})
    with pytest.raises(InputError, match="has no input 'unit:1'"):
        process(path, "session_units", inputs={"unit:1": "Units_left"})
    assert path.read_bytes() == before
