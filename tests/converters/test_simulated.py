"""The simulated session, converted: what users would otherwise have to look for."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config

import nwbpipe
from nwbpipe.converters import _convert
from nwbpipe.errors import OverwriteError
from nwbpipe.simulate import SimulatedSession
from tests.fixtures.processing import Scale


def test_electrodes_lie_where_the_metadata_say_that_their_group_lies(converted: Path) -> None:
    with h5py.File(converted) as file:
        locations = set(file["general/extracellular_ephys/electrodes/location"].asstr()[()])
        assert file["general/extracellular_ephys/NeuropixelsImec0"].attrs["location"] == "VISp"
    assert locations == {"VISp"}


def test_the_inspector_finds_no_violation(converted: Path) -> None:
    found = inspect_nwbfile(
        nwbfile_path=converted, config=load_config("dandi"), importance_threshold=Importance.BEST_PRACTICE_VIOLATION
    )
    assert [message.message for message in found] == []


def test_a_result_that_arrives_during_the_conversion_is_not_lost(
    small_session: SimulatedSession, small_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = _convert.build_nwbfile

    def slowly(*arguments: object, **named: object) -> object:
        built = build(*arguments, **named)  # type: ignore[arg-type]
        nwbpipe.process(small_nwb, Scale(), inputs={"series": "acquisition/ElectricalSeriesAP_probe"})
        return built

    monkeypatch.setattr(_convert, "build_nwbfile", slowly)
    with pytest.raises(OverwriteError, match="holds results"):
        nwbpipe.convert(small_session.spec, small_nwb, overwrite=True)
    assert [record.step for record in nwbpipe.read_records(small_nwb)] == ["convert", "scale"]
