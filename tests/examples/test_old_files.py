"""`process` on files that others wrote with older NWB: a valid result, or a refusal that changes nothing."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import Context, Input, Params, Processor, Results, Tool
from nwbpipe.errors import UnsupportedFileError
from tests.fixtures.processing import Scale

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


class ScaleEvents(Scale):
    """Scale, for a series with a timestamp each."""

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        from pynwb import TimeSeries

        series = context.input(nwbfile, "series")
        scaled = TimeSeries(
            name=context.name("Scaled"),
            description="a scaled series",
            data=results.arrays["scaled"][()],
            unit="n.a.",
            timestamps=series,
        )
        context.module(nwbfile, self.module).add(scaled)


class CountUnits(Processor):
    """Count the units, for files that hold no series."""

    name: ClassVar[str] = "count"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    inputs: ClassVar[Mapping[str, Input]] = {"table": Input("Units", doc="What to count.")}
    Params: ClassVar[type[Params]] = Params
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "tests.examples._count_compute"

    def prepare(self, nwbfile: Any, context: Context) -> Mapping[str, Any]:
        return {}

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        from pynwb import TimeSeries

        count = TimeSeries(
            name=context.name("Count"), data=results.arrays["count"][()], unit="n.a.", timestamps=np.zeros(1)
        )
        context.module(nwbfile, self.module).add(count)


# File → the version that it declares, a processor that fits, and what it is given.
FILES: dict[str, tuple[str, type[Processor], dict[str, str]]] = {
    "svoboda_2.0/sub-anm369963/sub-anm369963_ses-20170228.nwb": (
        "2.0.2", ScaleEvents, {"series": "/acquisition/lick_times/lick_left_times"},
    ),
    "svoboda_2.0/sub-anm372793/sub-anm372793_ses-20170508.nwb": (
        "2.0.2", ScaleEvents, {"series": "/acquisition/lick_times/lick_right_times"},
    ),
    "pynapple/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb": ("2.4.0", CountUnits, {"table": "/units"}),
    "pynapple/docs/examples/nwb-files/sub-4_ses-4_ecephys+image.nwb": (
        "2.4.0", ScaleEvents, {"series": "/acquisition/experiment_ids"},
    ),
}  # fmt: skip


def declared(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return str(file.attrs["nwb_version"])


@pytest.mark.parametrize("name", FILES, ids=lambda name: Path(name).stem)
def test_result_is_valid_or_the_file_is_refused_unchanged(name: str, shared_data: Path, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO, validate

    version, processor, inputs = FILES[name]
    old = Path(shutil.copy2(shared_data / "nwb" / name, tmp_path / Path(name).name))
    content = old.read_bytes()
    assert declared(old) == version
    try:
        run = nwbpipe.process(old, processor(), inputs=inputs)
    except UnsupportedFileError as error:
        refusal = error
    else:
        assert run.computed
        assert validate(path=str(old)) == []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynwb's, on types that are old
            with NWBHDF5IO(str(old), "r") as io:
                io.read()
        with h5py.File(old, "r") as file:
            assert all(item.path in file for item in run.record.outputs)
        return
    assert old.read_bytes() == content, "a refused file was changed"
    assert {entry.name for entry in tmp_path.iterdir()} <= {old.name, f".{old.stem}_nwb.lock"}
    assert version in str(refusal), "the refusal doesn't name the version"
    assert refusal.problem.where == str(old)
    assert refusal.problem.found
    assert refusal.problem.hint
    assert refusal.exit_code == 2
