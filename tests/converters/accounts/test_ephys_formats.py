"""What a recording holds is what the NWB file holds, or it is refused: random recordings in each format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array, original_times, sample_count
from nwbpipe.converters._source import Source
from nwbpipe.converters.neuroconv_fixes import fix_interfaces
from nwbpipe.converters.spec._model import SourceSpec
from nwbpipe.errors import AccountError, SourceError
from tests.converters.accounts.raw_ephys import FORMATS
from tests.converters.accounts.raw_recording import Recording

QUICK, LONG = 25, 300  # cases a format
REFUSED = ("edf",)  # its reader does not read files with pauses


class Paths:
    """Places of a spec, for a source without one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def display(self, path: Path) -> str:
        return path.name

    def list_roots(self) -> list[Path]:
        return [self.folder]


def read(recording: Recording, folder: Path) -> list[Any]:
    """Read a recording as a conversion does, and give the series in memory."""
    args = {key: Path(value) if "path" in key else value for key, value in recording.args.items()}
    return read_source({"interface": recording.interface, "args": args}, folder)


def read_source(section: dict[str, Any], folder: Path) -> list[Any]:
    """Read a source as a conversion does, and give the series in memory."""
    from datetime import UTC, datetime

    from neuroconv.tools.nwb_helpers import get_default_nwbfile_metadata
    from pynwb import NWBFile

    get_default_nwbfile_metadata()  # runs git once; while readers run, no program may start
    options = {"video": "link"} if "Video" in section["interface"] else {}
    spec = SourceSpec.model_construct(**section, options=options, accept=None)
    spec._video = options.get("video")  # type: ignore[assignment]
    source = Source("probe", spec, "probe", Paths(folder))  # type: ignore[arg-type]
    source.open()
    fix_interfaces([source], {})
    nwbfile = NWBFile("test", "test", datetime.now(UTC))
    source.add_to(nwbfile, source.read_metadata())
    return sorted(source.added.series(), key=lambda item: (len(item.name), item.name))


def check(make: Any, folder: Path, seed: int) -> bool:
    """Hold one random recording to its truth; True if it was refused."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    recording = make(folder, random)
    try:
        series = read(recording, folder)
    except AccountError:
        return True
    except SourceError as error:
        if "NeoReadWriteError" not in str(error):  # gaps after most records of the legacy format: neo refuses them
            raise
        return True
    times = np.concatenate([original_times(item, sample_count(item)) for item in series])
    assert times.shape == recording.times.shape, f"seed {seed}"
    np.testing.assert_allclose(times, recording.times, rtol=0, atol=2e-6, err_msg=f"seed {seed}")
    data = np.concatenate([load_array(item.data) for item in series])
    assert data.shape[1] == recording.channels, f"seed {seed}"
    offsets = np.concatenate([np.full(sample_count(item), item.offset or 0.0) for item in series])
    volts = data[:, 0] * series[0].conversion + offsets
    np.testing.assert_allclose(volts, recording.marks * recording.volts, rtol=1e-5, atol=1e-9, err_msg=f"seed {seed}")
    shutil.rmtree(folder)
    return False


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_right_or_the_recording_is_refused(name: str, tmp_path: Path) -> None:
    refused = sum(check(FORMATS[name], tmp_path / str(seed), seed) for seed in range(QUICK))
    assert (refused > 0) == (name in REFUSED), "these recordings can be read rightly"


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_many_recordings_are_right_or_refused(name: str, tmp_path: Path) -> None:
    for seed in range(QUICK, QUICK + LONG):
        check(FORMATS[name], tmp_path / str(seed), seed)
