"""Recordings of every accounted format are proposed with the interface and the arguments that their tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.proposals import propose
from tests.converters.accounts import raw_ephys

FORMATS = sorted(set(raw_ephys.FORMATS) - {"tdt"})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_recording_is_recognised(name: str, seed: int, tmp_path: Path) -> None:
    recording = raw_ephys.FORMATS[name](tmp_path, np.random.default_rng(seed))
    proposal = propose(tmp_path)
    wanted = {key: str(value) for key, value in recording.args.items() if key != "file_path"}
    path = Path(str(recording.args.get("file_path", "none")))
    fitting = [
        source
        for source in proposal.sources
        if source.interface == recording.interface
        and wanted == {key: str(value) for key, value in source.args.items() if key != "file_path"}
        and path in (source.args.get("file_path", path), *(source.files if name == "intan" else ()))
    ]
    assert len(fitting) == 1, [(source.interface, source.args, source.files) for source in proposal.sources]
    assert not proposal.unrecognized


def test_the_stores_of_tdt_are_a_persons_choice(tmp_path: Path) -> None:
    raw_ephys.FORMATS["tdt"](tmp_path, np.random.default_rng(1))
    proposal = propose(tmp_path)
    assert [source.interface for source in proposal.sources] == ["TDTEventsInterface", ""]
    assert "interface: FILL IN   # TDTFiberPhotometryInterface (args: stream_names), or Tdt" in proposal.text


def test_lines_of_a_board_are_read_once_and_where_there_are_pulses(tmp_path: Path) -> None:
    raw_ephys.FORMATS["spikeglx"](tmp_path, np.random.default_rng(1))
    text = propose(tmp_path).text
    assert "SpikeGLXEventsInterface" not in text  # it refuses a board without pulses
    assert (
        "digital_channel_groups: {}" in text
    )  # else the reader of the board's analog channels writes its lines, too
    for path in tmp_path.rglob("*.nidq.bin"):
        words = np.fromfile(path, "<i2")
        words[-1] = 1
        words.tofile(path)
    assert "SpikeGLXEventsInterface" in propose(tmp_path).text
