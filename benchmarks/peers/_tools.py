"""The tools that are compared: how each does the work, and how its results are judged."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from benchmarks._nwb import make_session
from benchmarks.peers._measure import Cost, become_reaper, measure
from benchmarks.peers._setup import Peers
from benchmarks.project import offer_processors

_HERE = Path(__file__).parent
_BODY = str(_HERE / "_body.py")
_SHAPE = (100_000, 4)


class Pipeline:
    """One tool and its sessions."""

    kind: ClassVar[str]
    notices: ClassVar[bool] = True  # whether it knows what is done

    def __init__(self, folder: Path, sessions: int, peers: Peers, *, cached: bool = False) -> None:
        self.folder, self.sessions, self.peers = folder, sessions, peers
        self.cached = "cached" if cached else "plain"
        self.name = f"{self.kind}, cached schemas" if cached else self.kind
        self.windows: tuple[int, ...] = (1000,)
        become_reaper()
        (folder / "raw").mkdir(parents=True)
        for number in range(sessions):
            _write_session(folder / "raw", number)
        self.begin_again()

    def begin_again(self) -> None:
        """Put all session files back, and forget what was done."""
        shutil.rmtree(self.folder / "nwb", ignore_errors=True)
        shutil.copytree(self.folder / "raw", self.folder / "nwb")

    def commands(self) -> list[list[str]]:
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        return self.peers.variables()

    def run(self) -> Cost:
        return measure(self.commands(), self.folder, self.variables(), server=self.peers.server)

    def source(self, number: int) -> Path:
        return self.folder / f"nwb/s{number}.nwb"

    def _raw(self, number: int) -> Path:
        return self.folder / f"raw/s{number}.nwb"

    def result(self, number: int, window: int) -> tuple[Path, str]:
        """Return file and path of a result."""
        return self.source(number), f"processing/ecephys/Rms_{window}"

    def change(self, number: int, *, keep_time: bool) -> None:
        """Change the data of a session, and of what it would be restored from."""
        for path in (self.source(number), self._raw(number)):
            time_before = path.stat()
            with h5py.File(path, "r+") as file:
                file["acquisition/signal/data"][:1000] += 7
            if keep_time:
                os.utime(path, ns=(time_before.st_atime_ns, time_before.st_mtime_ns))

    def restore(self, number: int) -> None:
        """Take a session file from raw again: its results are gone."""
        shutil.copyfile(self._raw(number), self.source(number))

    def redo(self, number: int) -> None:
        """Make the tool compute a session again: its file is taken from raw, and what it noted is removed."""
        self.restore(number)

    def known(self) -> set[int]:
        """Return the sessions that the tool takes for done, with the first window."""
        raise NotImplementedError

    def mend(self, cost: Cost) -> dict[str, int]:
        """Do the work by hand that the tool's last run asks for: what was done, and how often; nothing if none helps.

        One thing at a time, as a person would who reads what the tool says.
        """
        return {}

    def restore_spoiled(self, candidates: Iterable[int]) -> dict[str, int]:
        """Take from raw those session files that hold what the tool does not know of: its job would fail again."""
        spoiled = [
            number for number in candidates if self.source(number).read_bytes() != self._raw(number).read_bytes()
        ]
        for number in spoiled:
            self.restore(number)
        return {"file from raw": len(spoiled)} if spoiled else {}

    def judge(self) -> str:
        """Compare all results with what the sessions hold."""
        counts = {"missing": 0, "stale": 0}
        for number in range(self.sessions):
            for window in self.windows:
                state = self.judge_result(number, window)
                if state:
                    counts[state] += 1
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "right"

    def judge_result(self, number: int, window: int) -> str:
        path, place = self.result(number, window)
        try:
            with h5py.File(path, locking=False) as file:
                found = file[f"{place}/data"][()]
        except (OSError, KeyError):
            return "missing"
        with h5py.File(self.source(number), locking=False) as file:
            values = file["acquisition/signal/data"][()].astype("f8")
        true = np.sqrt((values.reshape(-1, window, _SHAPE[1]) ** 2).mean(axis=1))
        return "" if np.allclose(found, true) else "stale"

    def remove(self) -> None:
        shutil.rmtree(self.folder)


class Pool(Pipeline):
    """A pool of two processes."""

    kind = "a pool of two"
    notices = False

    def commands(self) -> list[list[str]]:
        windows = ",".join(map(str, self.windows))
        paths = [str(self.source(number)) for number in range(self.sessions)]
        return [[str(self.peers.python), _BODY, "pool", self.cached, windows, *paths]]


class SnakemakeFlag(Pipeline):
    """Snakemake; the session file is changed in place, and a flag says that it was."""

    kind = "Snakemake, in place with a flag"
    _options: tuple[str, ...] = ()

    def rules(self) -> str:
        rules, before = "", "nwb/s{n}.nwb"
        for window in self.windows:
            needed = f'"nwb/s{{n}}.nwb", "{before}"' if window != self.windows[0] else f'"{before}"'
            rules += f'rule rms_{window}:\n    input: {needed}\n    output: touch("flags/{window}/{{n}}")\n'
            rules += f'    shell: "{self.peers.python} {_BODY} one {self.cached} {window} nwb/s{{wildcards.n}}.nwb"\n'
            before = f"flags/{window}/{{n}}"
        return rules

    def last(self) -> str:
        return f"flags/{self.windows[-1]}/{{n}}"

    def commands(self) -> list[list[str]]:
        everything = f'rule all:\n    input: expand("{self.last()}", n=range({self.sessions}))\n'
        (self.folder / "Snakefile").write_text(everything + self.rules())
        return [[str(self.peers.python.parent / "snakemake"), "--cores", "2", "--quiet", *self._options]]

    def known(self) -> set[int]:
        outputs = {number: self.last().replace("{n}", str(number)) for number in range(self.sessions)}
        marks = {path.name for path in self.folder.glob(".snakemake/incomplete/*")}
        return {
            number
            for number, path in outputs.items()
            if (self.folder / path).exists() and base64.urlsafe_b64encode(path.encode()).decode() not in marks
        }

    def mend(self, cost: Cost) -> dict[str, int]:
        if "cannot be locked" in cost.output:
            measure([[*self.commands()[0], "--unlock"]], self.folder, self.variables())
            return {"--unlock": 1}
        if "seem to be incomplete" in cost.output:
            self._options = ("--rerun-incomplete",)
            return {"--rerun-incomplete": 1}
        return self.restore_spoiled(set(range(self.sessions)) - self.known())

    def begin_again(self) -> None:
        super().begin_again()
        self._options = ()
        for name in ("flags", ".snakemake", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def redo(self, number: int) -> None:
        super().redo(number)
        for window in self.windows:
            for path in (f"flags/{window}/{number}", f"out/{window}/s{number}.nwb"):
                (self.folder / path).unlink(missing_ok=True)


class SnakemakeCopy(SnakemakeFlag):
    """Snakemake; each method writes a copy of the session file."""

    kind = "Snakemake, by copies"

    def result(self, number: int, window: int) -> tuple[Path, str]:
        return self.folder / f"out/{window}/s{number}.nwb", f"processing/ecephys/Rms_{window}"

    def rules(self) -> str:
        rules, before = "", "nwb/s{n}.nwb"
        for window in self.windows:
            rules += f'rule rms_{window}:\n    input: "{before}"\n    output: "out/{window}/s{{n}}.nwb"\n'
            rules += '    shell: "cp {input} {output} && chmod u+w {output} && '
            rules += f'{self.peers.python} {_BODY} one {self.cached} {window} {{output}}"\n'
            before = f"out/{window}/s{{n}}.nwb"
        return rules

    def last(self) -> str:
        return f"out/{self.windows[-1]}/s{{n}}.nwb"


class DataJoint(Pipeline):
    """Two processes that populate a table; `make` changes the file in place."""

    kind = "DataJoint, two processes"

    def begin_again(self) -> None:
        super().begin_again()
        self._call("fill")
        self._call("forget")

    def commands(self) -> list[list[str]]:
        return [self._words("populate")] * 2

    def known(self) -> set[int]:
        return set(self._list_jobs()["done"])

    def mend(self, cost: Cost) -> dict[str, int]:
        jobs = self._list_jobs()
        if jobs.get("reserved"):  # populate skips them
            self._call("refresh")
            return {"jobs.refresh": 1}
        for number in jobs.get("errors", []):
            self._call(f"forget-{number}")
        return self.restore_spoiled(jobs.get("errors", []))

    def _list_jobs(self) -> dict[str, list[int]]:
        """Return the sessions that are done, reserved or failed."""
        done = subprocess.run(
            self._words("list"), cwd=self.folder, env=self.variables(), check=True, capture_output=True, text=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    def redo(self, number: int) -> None:
        super().redo(number)
        self._call(f"forget-{number}")

    def _words(self, what: str) -> list[str]:
        windows = ",".join(map(str, self.windows))
        return [str(self.peers.python), str(_HERE / "_datajoint.py"), what, self.cached, windows, str(self.folder)]

    def _call(self, what: str) -> None:
        subprocess.run(self._words(what), cwd=self.folder, env=self.variables(), check=True, capture_output=True)


class Nwbpipe(Pipeline):
    """`nwbpipe run` with two workers."""

    kind = "nwbpipe"

    def __init__(self, folder: Path, sessions: int, peers: Peers, *, cached: bool = False) -> None:
        self._variables = offer_processors(folder, bytecode=folder.parent / "bytecode")
        super().__init__(folder, sessions, peers, cached=cached)

    def begin_again(self) -> None:
        super().begin_again()
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def variables(self) -> dict[str, str]:
        return self._variables

    def result(self, number: int, window: int) -> tuple[Path, str]:
        return self.source(number), f"processing/ecephys/Rms_w{window}"

    def known(self) -> set[int]:
        words = [sys.executable, "-m", "nwbpipe", "status", "--json"]
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables(), check=False, capture_output=True, text=True
        )
        sessions = json.loads(done.stdout)["sessions"]
        return {int(key.rpartition("/")[2]) for key, runs in sessions.items() if runs[0]["state"] == "done"}

    def commands(self) -> list[list[str]]:
        text = (
            'nwbpipe = 1\n[project]\nname = "b"\nsessions = "nwb://*.nwb"\n[stores]\nnwb = "nwb"\nstate = "state"\n'
        )
        for window in self.windows:
            text += f'[steps.w{window}]\nprocessor = "rms"\nparams.window = {window}\n'
            text += 'inputs.series = "acquisition/signal"\n'
        (self.folder / "nwbpipe.toml").write_text(text)
        return [[sys.executable, "-m", "nwbpipe", "run", "--workers", "2"]]


def list_pipelines(folder: Path, sessions: int, peers: Peers, *, noticing: bool = False) -> Iterator[Pipeline]:
    """Make each tool's sessions when its turn comes; those that can also take cached schemas come twice.

    `noticing`: only those tools that know what is done, once each.

    A session by itself comes before: what is compiled or made at the first start is no part of the work.
    """
    for kind, ways in (
        (Nwbpipe, (False,)),
        (Pool, (False, True)),
        (SnakemakeFlag, (False,)),
        (SnakemakeCopy, (False,)),
        (DataJoint, (False, True)),
    ):
        if (kind is DataJoint and peers.server is None) or (noticing and not kind.notices):
            continue
        first: Pipeline = kind(folder / f"{kind.__name__}_first_{sessions}", 1, peers)
        first.run()
        first.remove()
        for cached in ways[:1] if noticing else ways:
            place = f"{kind.__name__}_{'cached' if cached else 'plain'}_{sessions}"
            yield kind(folder / place, sessions, peers, cached=cached)


def write_first_session(folder: Path) -> None:
    """Write the session file `s0.nwb`."""
    _write_session(folder, 0)


def _write_session(folder: Path, number: int) -> None:
    from pynwb import NWBHDF5IO, TimeSeries

    path, first = folder / f"s{number}.nwb", folder / "s0.nwb"
    if number:
        shutil.copyfile(first, path)
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = f"{number:05}"
            file["acquisition/signal/data"][:] += number
        return
    nwbfile = make_session()
    data = np.random.default_rng(0).integers(-100, 100, _SHAPE, dtype=np.int16)
    nwbfile.add_acquisition(TimeSeries(name="signal", description="noise", data=data, unit="V", rate=1000.0))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    with h5py.File(path, "r+") as file:
        file["general/session_id"][()] = "00000"
