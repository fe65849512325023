"""neo loses the last record after a gap of Open Ephys' legacy format: true of upstream alone, mended here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nwbpipe.converters.neuroconv_fixes._gaps import read_stored_samples
from tests.converters.accounts.raw_openephys import write_continuous


def test_the_record_after_a_gap_is_read(tmp_path: Path) -> None:
    from neuroconv.datainterfaces import OpenEphysLegacyRecordingInterface

    data = np.full(5 * 1024, 7, np.int16)
    write_continuous(tmp_path / "100_CH1.continuous", 30_000.0, np.array([0, 1024, 2048, 3072, 9000]), data)
    interface = OpenEphysLegacyRecordingInterface(folder_path=tmp_path)
    recording = interface.recording_extractor
    assert np.count_nonzero(recording.get_traces()) < data.size, "neo reads it now: delete the workaround"
    read_stored_samples(interface)
    np.testing.assert_array_equal(recording.get_traces()[:, 0], data)
