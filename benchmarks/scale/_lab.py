"""A project as a lab has it: a raw file and a short spec for each session, what is common to all in `lab.yaml`."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_SHAPE = (10_000, 4)
_LAB = """
subject: {subject_id: bench, species: Mus musculus, sex: F, age: P90D}
session:
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: A benchmark.
  experimenter: ["Doe, Jane"]
  institution: Nowhere
  lab: Nobody's
sources:
  signal:
    interface: SeriesInterface
    args: {file_path: signal.npy, unit: volts, conversion: 0.001, sampling_frequency: 1000.0}
"""
_PROJECT = """
nwbpipe = 1
[project]
name = "scale"
sessions = "raw://**/session.yaml"
output = "nwb://sub-{subject_id}/sub-{subject_id}_ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"
"""


class Lab:
    """A project of that many sessions, each converted, and the RMS in windows of its signal computed.

    Parameters
    ----------
    folder : Path
        Folder of the project.
    sessions : int
    windows : sequence of int
        A step for each, in samples.
    joined : bool
        A step of project scope, too, that waits for the first step of all sessions: their principal components.
    """

    def __init__(
        self, folder: Path, sessions: int, windows: tuple[int, ...] = (1000,), *, joined: bool = False
    ) -> None:
        self.folder, self.sessions, self.windows, self.joined = folder, sessions, windows, joined
        (folder / "raw").mkdir(parents=True)
        (folder / "raw/lab.yaml").write_text(_LAB)
        self._signal = np.random.default_rng(0).integers(-100, 100, _SHAPE, dtype=np.int16)
        for number in range(sessions):
            place = folder / f"raw/{number:06}"
            place.mkdir()
            np.save(place / "signal.npy", self._make_signal(number))
            spec = f'nwbpipe: 1\nextends: ../lab.yaml\nsession: {{session_id: "{number:06}"}}\n'
            (place / "session.yaml").write_text(spec)
        text = _PROJECT
        for window in windows:
            text += f'[steps.w{window}]\nprocessor = "rms"\nparams.window = {window}\n'
        if joined:
            text = text.replace('state = "state"\n', 'state = "state"\nmodels = "models"\n')
            text += '[steps.components]\nprocessor = "shared_pca"\nscope = "project"\n'
            text += f'inputs.series = "w{windows[0]}"\n'
        (folder / "nwbpipe.toml").write_text(text)

    def _make_signal(self, number: int) -> Any:
        return np.roll(self._signal, number, axis=0)

    @property
    def runs(self) -> int:
        """Number of runs: conversions and steps."""
        return self.sessions * (1 + len(self.windows)) + self.joined

    def locate_file(self, number: int) -> Path:
        """Return the path of a session file."""
        return self.folder / f"nwb/sub-bench/sub-bench_ses-{number:06}.nwb"

    def use_cluster(self, address: str) -> None:
        """Let a scheduler that runs already do the work."""
        with (self.folder / "nwbpipe.toml").open("a") as file:
            file.write(f'[executor]\nkind = "dask"\naddress = "{address}"\n')

    def judge(self) -> str:
        """Compare all results with what the raw files hold, and count what is missing, wrong or there twice."""
        counts: Counter[str] = Counter()
        for number in range(self.sessions):
            signal = self._make_signal(number).astype("f8")
            for window in self.windows:
                true = np.sqrt((signal.reshape(-1, window, _SHAPE[1]) ** 2).mean(axis=1))
                try:
                    with h5py.File(self.locate_file(number), locking=False) as file:
                        value = file[f"processing/ecephys/Rms_w{window}/data"][()]
                except (OSError, KeyError):
                    counts["missing"] += 1
                else:
                    counts["wrong"] += not np.allclose(value, true)
        if self.joined:
            of = [json.loads(path.read_text())["n_sessions"] for path in self.folder.glob("models/**/pca.json")]
            counts["missing"] += not of
            counts["wrong"] += any(number != self.sessions for number in of)
        counts["committed twice"] = self.count_twice()
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "right"

    def count_twice(self) -> int:
        """Count the runs that were committed again: each commit of a project leaves one small file."""
        done = Counter(path.parent for path in self.folder.glob("state/runs/done/*/*/*/*.json"))
        return sum(count - 1 for count in done.values())

    def list_leases(self) -> set[tuple[str, str]]:
        """Return session and step of each run that a process computes now, or did when it was killed."""
        leases = [json.loads(path.read_bytes()) for path in self.folder.glob("state/leases/*.json")]
        return {(lease["session"], lease["step"]) for lease in leases if not lease.get("waits")}

    def measure_state(self) -> tuple[int, int]:
        """Return the bytes and the number of the files of the state."""
        sizes = [path.stat().st_size for path in self.folder.glob("state/**/*") if path.is_file()]
        return sum(sizes), len(sizes)

    def remove(self) -> None:
        """Remove the project."""
        shutil.rmtree(self.folder)
