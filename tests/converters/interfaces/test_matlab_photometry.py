"""Photometry in MATLAB files: what was written is read, in every version, and what is not what it says is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from nwbpipe.converters._photometry import check_photometry
from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from nwbpipe.simulate import simulate_photometry
from nwbpipe.simulate._photometry import RIG_CARRIERS, RIG_RATE, write_rig
from tests.fixtures.nwb import empty_session

RNG = np.random.default_rng(0)


def interface(folder: Path, **arguments):
    return interface_class("MatlabFiberPhotometryInterface")(
        folder / "data.mat", folder / "meta.toml", **{"metadata_key": "rig", **arguments}
    )


def write_73(path: Path, fill) -> None:
    """Write a file of MATLAB's version 7.3: HDF5 behind 512 bytes of text."""
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.fixture
def rig(tmp_path):
    """Raw files of the rig, 2 s long, and the channels as they were written."""
    truth = simulate_photometry(np.random.default_rng(1), 2.0, RIG_RATE)
    write_rig(tmp_path / "data.mat", tmp_path / "meta.toml", np.random.default_rng(1), truth)
    from scipy.io import loadmat

    return tmp_path, loadmat(tmp_path / "data.mat")["data"]


def added(source):
    nwbfile = empty_session("photometry")
    metadata = source.get_metadata().to_dict()
    metadata["FiberPhotometry"]["rig"]["name"] = "FiberPhotometryResponseSeries_rig"
    assert check_photometry(metadata) == []
    source.add_to_nwbfile(nwbfile, metadata)
    return nwbfile


@pytest.mark.parametrize("version", ["5", "7.3", "transposed"])
def test_raw_channels(rig, version):
    folder, channels = rig
    if version == "7.3":  # MATLAB writes the transposed
        write_73(folder / "data.mat", lambda file: file.create_dataset("data", data=channels.T))
    elif version == "transposed":
        savemat(folder / "data.mat", {"data": channels.T})
    nwbfile = added(interface(folder, unit="volts"))
    series = nwbfile.acquisition["FiberPhotometryResponseSeries_rig"]
    np.testing.assert_array_equal(series.data.data[:], channels[[0, 3]].T)
    np.testing.assert_array_equal(series.data.data[10:20, 1], channels[3, 10:20])
    assert (series.rate, series.unit, series.starting_time) == (RIG_RATE, "volts", 0.0)
    drive = nwbfile.acquisition["CommandedVoltageSeries_rig_right_iso"]
    np.testing.assert_allclose(drive.data.data[:], channels[5], rtol=1e-7)
    assert drive.frequency == RIG_CARRIERS["right"][1]


def test_the_file_says_what_was_recorded_where(rig):
    folder, _ = rig
    nwbfile = added(interface(folder))
    series = nwbfile.acquisition["FiberPhotometryResponseSeries_rig"]
    region = series.fiber_photometry_table_region
    table = region.table.to_dataframe()
    assert list(region.data) == [0, 1, 2, 3]
    assert table["excitation_wavelength_in_nm"].tolist() == [465, 405, 465, 405]
    assert [device.name for device in table["photodetector"]] == ["Photodetector_rig_left_green"] * 2 + [
        "Photodetector_rig_right_green"
    ] * 2
    assert [series.frequency for series in table["commanded_voltage_series"]] == [213, 331, 267, 419]
    insertion = table["optical_fiber"][2].fiber_insertion
    assert (insertion.hemisphere, insertion.insertion_position_ml_in_mm, insertion.depth_in_mm) == ("right", 1.5, 2.5)
    indicator = table["indicator"][0]
    assert indicator.label == "dLight1.3b"
    injection = indicator.viral_vector_injection
    assert (injection.hemisphere, injection.volume_in_uL, injection.ml_in_mm) == ("left", 0.3, -1.5)
    assert injection.viral_vector.construct_name == "AAV9-hSyn-dLight1.3b"


def test_further_channels_are_kept_under_their_names(rig):
    folder, channels = rig
    text = (folder / "meta.toml").read_text().replace("total_channels = 6", "total_channels = 7\ntoBehSys = 6")
    (folder / "meta.toml").write_text(text)
    pulses = (np.arange(channels.shape[1]) % 500 < 20).astype(float)
    savemat(folder / "data.mat", {"data": np.vstack([channels, pulses])})
    series = added(interface(folder)).acquisition["TimeSeries_rig_toBehSys"]
    np.testing.assert_array_equal(series.data.data[:], pulses)


def demultiplexed(folder: Path, version: str, **more) -> np.ndarray:
    traces = RNG.standard_normal((2, 300))
    fields = {"demux_freq": 171.0, "time_offset": 0.25, **more}
    if version == "5":
        elements = np.empty(2, dtype=object)
        elements[:] = [{"data": trace, **fields} for trace in traces]
        savemat(folder / "data.mat", {"timeSeries": elements})
    else:

        def fill(file):
            group = file.create_group("timeSeries")
            held = file.create_group("#refs#")
            for name in ("data", *fields):
                references = []
                for k, trace in enumerate(traces):
                    value = trace[:, None] if name == "data" else np.array([[fields[name]]])
                    references.append(held.create_dataset(f"{name}{k}", data=value).ref)
                group.create_dataset(name, data=np.array(references, dtype=h5py.ref_dtype)[:, None])

        write_73(folder / "data.mat", fill)
    (folder / "meta.toml").write_text(
        "[Processing_Parameters]\nsampling_frequency = 2000\ndemod_sample_rate = 54\n"
        '[Signal_Indices.left]\nphotom_g = 0\nsensor_protein = {green = "GCaMP8s"}\n'
        '[Signal_Indices.right]\nphotom_g = 1\nsensor_protein = {green = "GCaMP8s"}\n'
        + "".join(
            f"[Fiber.implantation.{side}]\nexcitation_wavelength = {{green = 470}}\n"
            f'emission_wavelength = {{green = 525}}\nbrain_region = "NAc"\n'
            for side in ("left", "right")
        )
    )
    return traces


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize(("more", "rate"), [({}, 54.0), ({"sample_rate": 50.0}, 50.0)])
def test_demultiplexed_traces_have_their_own_rate(tmp_path, version, more, rate):
    """Not that of the raw channels, and not the carrier's frequency."""
    traces = demultiplexed(tmp_path, version, **more)
    source = interface(tmp_path)
    assert source.kind == "demultiplexed"
    series = added(source).acquisition["FiberPhotometryResponseSeries_rig"]
    np.testing.assert_array_equal(series.data.data[:], traces.T)
    assert (series.rate, series.starting_time) == (rate, 0.25)


def test_without_a_rate_of_the_traces_there_is_none(tmp_path):
    demultiplexed(tmp_path, "5")
    text = (tmp_path / "meta.toml").read_text().replace("demod_sample_rate = 54\n", "")
    (tmp_path / "meta.toml").write_text(text)
    with pytest.raises(SourceError, match=r"rate of the demultiplexed traces") as caught:
        interface(tmp_path)
    assert "demux_freq alone, which is the carrier's frequency" in str(caught.value)


def corrupt(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (corrupt, "can't be read"),
        (lambda path: path.write_text("time,signal\n0,1\n"), "can't be read"),
        (lambda path: savemat(path, {"other": np.ones((6, 100))}), "the MATLAB file lacks its data"),
        (lambda path: savemat(path, {"data": "text"}), "neither a matrix of channels nor a struct array"),
        (lambda path: savemat(path, {"data": np.ones((5, 100))}), "another number of channels than the settings say"),
        (lambda path: savemat(path, {"data": np.ones((6, 6))}), "another number of channels than the settings say"),
        (lambda path: savemat(path, {"data": 1j * np.ones((6, 100))}), "neither a matrix of channels nor a struct"),
        (lambda path: savemat(path, {"data": np.full((6, 100), np.nan)}), "values that are not numbers"),
        (lambda path: savemat(path, {"timeSeries": {"x": 1.0}}), "names a trace that the file does not have"),
    ],
)
def test_a_mat_that_is_not_what_it_says_is_refused(rig, change, message):
    folder, _ = rig
    change(folder / "data.mat")
    with pytest.raises(SourceError) as caught:
        interface(folder)
    assert message.replace("names a", "name a") in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[Signal_Indices.left]", "[Signal_Indices.left", "the settings file is not TOML"),
        ("photom_g = 0", "photmo_g = 0", "Signal_Indices.left.photmo_g"),
        ("photom_g = 0", "photom_g = -1", "greater than or equal to 0"),
        ("photom_g = 3", "photom_g = 0", "two fibers have one detector"),
        ("carrier_g = 1", "carrier_g = 0", "one channel is both a detector and a carrier"),
        ("carrier_iso = 2", "carrier_iso = 1", "one recorded carrier has two frequencies"),
        ("photom_iso = 3", "photom_iso = 6", "a channel is beyond total_channels"),
        ("carrier_frequency_g = 213.0", "carrier_frequency_g = 1213.0", "a carrier beyond the Nyquist frequency"),
        ("carrier_frequency_g = 213.0", 'carrier_frequency_g = "fast"', "expected: a number"),
        ("sampling_frequency = 2000\n", "", "nothing says the sampling rate"),
    ],
)
def test_settings_with_mistakes_are_refused(rig, old, new, message):
    folder, _ = rig
    text = (folder / "meta.toml").read_text()
    assert old in text
    (folder / "meta.toml").write_text(text.replace(old, new))
    with pytest.raises(SourceError) as caught:
        interface(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["FiberPhotometry"]["FiberPhotometryIndicators"]["rig_indicator_left_green"].update(label=None),
         "FiberPhotometryIndicators.rig_indicator_left_green.label"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_green"].update(location=None),
         "rows.rig_left_green.location"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_green"].update(locatoin="x"),
         "the field is unknown"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_iso"].pop("notes"),
         "rows.rig_left_iso.notes"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_green"].update(
            excitation_wavelength_in_nm=600.0), "the wavelengths are impossible"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_green"].update(
            photodetector_metadata_key="nothing"), "the device does not exist"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryTable"]["rows"]["rig_left_green"].update(
            photodetector_metadata_key="rig_fiber_left"), "the device has the wrong type"),
        (lambda m: m["Devices"]["rig_fiber_left"]["fiber_insertion"].update(insertion_position_ml_in_mm=1.5),
         "hemisphere and coordinate contradict each other"),
        (lambda m: m["FiberPhotometry"]["rig"].update(fiber_photometry_table_region=["a"]), "no such row"),
        (lambda m: m["FiberPhotometry"]["FiberPhotometryIndicators"]["rig_indicator_left_green"].update(
            viral_vector_injection_metadata_key="b"), "FiberPhotometryVirusInjections has no such entry"),
    ],
)  # fmt: skip
def test_descriptions_that_are_not_complete_or_contradict_themselves(rig, change, message):
    metadata = interface(rig[0]).get_metadata().to_dict()
    assert check_photometry(metadata) == []
    change(metadata)
    (problem,) = check_photometry(metadata)
    assert message in str(problem)
