"""Recognise fibre photometry: pyPhotometry, Doric, Neurophotometrics, IBL's tables, the Sabatini lab's rig."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.proposals._candidate import Candidate, Mark, count, listed
from nwbpipe.proposals._tables import PARQUETS, Table, read_table
from nwbpipe.proposals._tree import RawTree

# Excitation by the lowest three bits of Neurophotometrics' flags.
_EXCITATIONS = {1: 415, 2: 470, 4: 560}
_REGION = re.compile(r"(Region)?\d*[GR]\d*", re.IGNORECASE)


def find_pyphotometry(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of pyPhotometry: a source for each signal, one for the digital inputs."""
    for path in tree.free(".ppd"):
        with tree.note_errors(path):
            header, samples = _read_ppd(path)
            rate = float(header["sampling_rate"])
            start = datetime.fromisoformat(str(header["date_time"])) if header.get("date_time") else None
            notes = [f"{samples:,} samples at {rate:g} Hz, {samples / rate:.3f} s; mode {header.get('mode', '?')}"]
            options: dict[str, Any] = {"device": path.stem, "start": start, "notes": notes, "is_accounted": False}
            options["span"] = (0.0, samples / rate)
            for number in range(1, int(header.get("n_analog_signals", 2)) + 1):
                name = _stream_name(str(header.get("mode", "")), number)
                arguments = {"file_path": path, "stream_name": name}
                yield Candidate(
                    f"analog_{number}",
                    "PyPhotometryFiberPhotometryInterface",
                    arguments,
                    [path],
                    samples=samples,
                    rate=rate,
                    **options,
                )
            yield Candidate(
                "inputs",
                "PyPhotometryEventsInterface",
                {"file_path": path},
                [path],
                role="events",
                **{**options, "notes": ["pulses on the digital inputs"]},
            )


def _read_ppd(path: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a .ppd (JSON) and its number of samples: two bytes each, signals in turn."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(2), "little")
        header = json.loads(file.read(size))
    signals = int(header.get("n_analog_signals", 2))
    return header, (path.stat().st_size - 2 - size) // (2 * signals)


def _stream_name(mode: str, number: int) -> str:
    """Return the name of a signal as NeuroConv has it: by detector and excitation."""
    detector = 1 if mode.startswith("1 colour") or "1EX_1EM" in mode else number
    excitation = number
    return f"detector_{detector}_excitation_{excitation}"


def find_doric(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Doric: which of its streams are signals, a person says."""
    for path in tree.free(".doric"):
        arguments = {
            "file_path": path,
            "stream_names": Mark("streams of the file: `nwbpipe interfaces DoricFiberPhotometryInterface`"),
        }
        yield Candidate(
            path.stem,
            "DoricFiberPhotometryInterface",
            arguments,
            [path],
            device=path.stem,
            is_accounted=False,
            notes=["Doric Neuroscience Studio"],
        )
        yield Candidate(
            f"{path.stem}_lines",
            "DoricEventsInterface",
            {"file_path": path},
            [path],
            device=path.stem,
            role="events",
            is_accounted=False,
            notes=["digital lines"],
        )


def find_photometry_tables(tree: RawTree) -> Iterator[Candidate]:
    """Find tables of photometry: Neurophotometrics', and IBL's with a column of wavelengths."""
    for path in tree.free(*PARQUETS, ".csv"):
        with tree.note_errors(path):
            table = read_table(path)
            if table is None or not table.is_headed:
                continue
            if "wavelength" in table.names and "times" in table.names:
                yield from _propose_wavelengths(table)
            elif {"Flags", "LedState"} & set(table.names) and "FrameCounter" in table.names:
                yield from _propose_flags(table)
            elif {"Timestamp", "Value"} == set(table.names):
                arguments = {"file_path": path, "time_column": "Timestamp", "name_column": "Value"}
                yield Candidate(
                    "input",
                    "BehaviorEventsInterface",
                    arguments,
                    [path],
                    device=_find_box(path),
                    role="events",
                    notes=[f"{count(table.rows, 'change')} of a digital input"],
                    is_accounted=False,
                )


def _find_box(path: Path) -> str:
    return path.parent.name


def _propose_wavelengths(table: Table) -> Iterator[Candidate]:
    values = table.numbers("wavelength")
    times = table.numbers("times")
    if values is None or times is None:
        return
    columns = [name for name in table.names if _REGION.fullmatch(name)]
    for wavelength in np.unique(values[np.isfinite(values) & (values > 0)]):
        rows = int(np.count_nonzero(values == wavelength))
        yield _make_parquet(table, columns, "times", "wavelength", int(wavelength), f"{wavelength:g}", rows, times)


def _propose_flags(table: Table) -> Iterator[Candidate]:
    flags_column = "Flags" if "Flags" in table.names else "LedState"
    time = next((name for name in ("Timestamp", "SystemTimestamp") if name in table.names), None)
    flags = table.numbers(flags_column)
    times = table.numbers(time) if time is not None else None
    if flags is None or times is None or time is None:
        return
    regions = [name for name in table.names if _REGION.fullmatch(name)]
    green = [name for name in regions if "G" in name.upper().replace("REGION", "")]
    for bits, wavelength in _EXCITATIONS.items():
        is_lit = (flags.astype(np.int64) & 7) == bits
        if not is_lit.any():
            continue
        if not table.separator:
            codes = [int(code) for code in np.unique(flags[is_lit])]
            rows = int(np.count_nonzero(is_lit))
            yield _make_parquet(
                table, green or regions, time, flags_column, codes, f"{wavelength}", rows, times[is_lit]
            )
            continue
        arguments = {"file_path": table.path, "excitation_wavelength_in_nm": wavelength, "regions": green or regions}
        if time != "Timestamp":
            arguments["timestamps_column"] = time
        yield Candidate(
            f"signal_{wavelength}",
            "NPMFiberPhotometryInterface",
            arguments,
            [table.path],
            device=_find_box(table.path),
            notes=[f"{np.count_nonzero(is_lit):,} frames excited at {wavelength} nm"],
            is_accounted=False,
        )


def _make_parquet(
    table: Table, columns: list[str], time: str, by: str, values: Any, name: str, rows: int, times: Any
) -> Candidate:
    demux = {"by": "column", "column": by, "values": values}
    arguments = {
        "file_path": table.path,
        "data_columns": columns,
        "timestamps_column": time,
        "demux_configuration": demux,
    }
    unread = [item for item in table.names if item not in (*columns, time, by)]
    return Candidate(
        f"signal_{name}",
        "ParquetFiberPhotometryInterface",
        arguments,
        [table.path],
        device=_find_box(table.path),
        span=(float(times[0]), float(times[-1])),
        is_accounted=False,
        notes=[
            f"{rows:,} frames excited at {name} nm, {times[0]:.3f} to {times[-1]:.3f} s",
            f"columns not read: {listed(unread)}",
        ],
    )


def find_matlab(tree: RawTree) -> Iterator[Candidate]:
    """Find raw photometry in a .mat with a .toml of settings beside it, and sessions of Bpod."""
    for path in tree.free(".mat"):
        with tree.note_errors(path):
            names = _list_variables(path)
            if "SessionData" in names:
                yield Candidate(
                    "task",
                    "BpodInterface",
                    {"file_path": path},
                    [path],
                    role="trials",
                    is_accounted=False,
                    notes=["a session of Bpod"],
                )
                continue
            settings = [item for item in tree.in_folder(path.parent) if item.suffix == ".toml"]
            settings = [item for item in settings if "[Processing_Parameters]" in item.read_text("utf-8", "replace")]
            if len(settings) == 1 and {"data", "timeSeries", "timeseries"} & set(names):
                unit = Mark("unit of the recorded values, such as volts")
                arguments = {"file_path": path, "settings_file_path": settings[0], "unit": unit}
                yield Candidate(
                    "photometry",
                    "MatlabFiberPhotometryInterface",
                    arguments,
                    [path, settings[0]],
                    notes=[f"raw channels of a rig, by {settings[0].name}"],
                    is_accounted=False,
                )
            elif names:
                tree.dismiss([path], f"MATLAB variables {listed(sorted(names))}")


def _list_variables(path: Path) -> list[str]:
    """Return the names of a MATLAB file's variables, by its headers."""
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            return [name for name in file if not name.startswith("#")]
    from scipy.io import whosmat

    return [str(name) for name, _, _ in whosmat(path)]
