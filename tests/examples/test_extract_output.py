"""EXTRACT's output as a lab has it: loaded as the result of a step of a session with a movie of its size."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from tests.processors.imaging.session import write_session


@pytest.mark.real_data
def test_an_output_of_before_version_1_is_loaded(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "segmentation/extract/2014_04_01_p203_m19_check01_extractAnalysis.mat"
    path = write_session(tmp_path / "session.nwb", np.zeros((750, 250, 250), np.int8), rate=30.0)
    record = nwbpipe.load(path, "extract", source, step="extract_2014").record
    assert record.tool_version == "0.6.1"
    assert record.parameters["avg_cell_radius"] == 17
    assert not [value for value in record.parameters.values() if isinstance(value, str) and "\\" in value]
    with h5py.File(source) as file, h5py.File(path) as written:
        ophys = written["processing/ophys"]
        table = ophys["ImageSegmentation_extract_2014/PlaneSegmentation_extract_2014"]
        assert len(table["id"]) == 55
        filters = file["extractAnalysisOutput/filters"][7]
        ends = table["pixel_mask_index"][:]
        pixels = table["pixel_mask"][int(ends[6]) : int(ends[7])]
        rebuilt = np.zeros_like(filters)
        rebuilt[pixels["x"], pixels["y"]] = pixels["weight"]
        np.testing.assert_array_equal(rebuilt, np.maximum(filters, 0))
        # It was not preprocessed: the traces are no dF/F.
        demixed = ophys["Fluorescence_extract_2014/Demixed/data"][:]
        np.testing.assert_array_equal(demixed, file["extractAnalysisOutput/traces"][:])
