"""Recognise recordings of electrodes, and what was recorded beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts import list_openephys_parts, list_spikeglx_parts
from nwbpipe.proposals._candidate import Candidate, Mark, listed
from nwbpipe.proposals._tree import RawTree

_RUN = re.compile(r".+_g\d+")
_PROBE_FOLDER = re.compile(r".+_g\d+_imec\d+")
# Ending → interface and name, of formats that are one file with all that belongs to it beside it.
_FILES = {
    ".edf": ("EDFRecordingInterface", "eeg"),
    ".bdf": ("EDFRecordingInterface", "eeg"),
    ".plx": ("PlexonRecordingInterface", "plexon"),
    ".smrx": ("Spike2RecordingInterface", "spike2"),
    ".rec": ("SpikeGadgetsRecordingInterface", "spikegadgets"),
    ".bwr": ("BiocamRecordingInterface", "biocam"),
}
_QUICK_BYTES = 2_000_000_000
_HEADER_BYTES = 1024  # of a file of events of Open Ephys' older format


def find_spikeglx(tree: RawTree) -> Iterator[Candidate]:
    """Find runs of SpikeGLX: each .meta with its .bin, by streams; the sync channel of each probe."""
    runs = sorted({_find_run(path) for path in tree.free(".meta") if path.with_suffix(".bin").is_file()})
    for folder in runs:
        parts = [part for part in list_spikeglx_parts(folder) if part.path.is_relative_to(folder)]
        device = folder.name
        for stream in dict.fromkeys(part.stream for part in parts):
            chosen = [part for part in parts if part.stream == stream]
            files = [file for part in chosen for file in (part.path, part.binary)]
            name = stream.replace(".", "_")
            options: dict[str, Any] = {"files": files, "device": device}
            if not stream.startswith("imec"):
                analog, digital = _count_board_channels(chosen[0].values)
                if digital and _has_pulses(chosen, digital):
                    arguments = {"folder_path": folder, "stream_id": stream}
                    yield Candidate(
                        f"{name}_lines", "SpikeGLXEventsInterface", arguments, role="events", is_accounted=False,
                        notes=["digital lines of the board, one or more bits"], **options,
                    )  # fmt: skip
                if analog and stream == "nidq":
                    # The lines are a source of their own, of all gates and triggers.
                    arguments = {"folder_path": folder, **({"digital_channel_groups": {}} if digital else {})}
                    yield Candidate(name, "SpikeGLXNIDQInterface", arguments, role="signal", **options)
                continue
            arguments = {"folder_path": folder, "stream_id": stream}
            yield Candidate(name, "SpikeGLXRecordingInterface", arguments, role="recording", **options)
            has_ap = any(part.stream == f"{stream.partition('.')[0]}.ap" for part in parts)
            if _has_sync(chosen[0].values) and (stream.endswith(".ap") or not has_ap):
                arguments = {"folder_path": folder, "stream_id": f"{stream}-SYNC"}
                yield Candidate(
                    f"{stream.partition('.')[0]}_sync",
                    "SpikeGLXSyncChannelInterface",
                    arguments,
                    role="sync",
                    **options,
                )


def _find_run(meta: Path) -> Path:
    """Return the folder of the run that a .meta belongs to."""
    folder = meta.parent
    if _PROBE_FOLDER.fullmatch(folder.name) and _RUN.fullmatch(folder.parent.name):
        return folder.parent
    return folder


def _has_sync(values: Mapping[str, str]) -> bool:
    counts = values.get("snsApLfSy", "").split(",")
    return len(counts) == 3 and counts[2].strip() not in ("", "0")


def _has_pulses(parts: list[Any], digital: int) -> bool:
    """Return True if the digital words of a board change, or if the files are too large for a quick look."""
    if sum(part.binary.stat().st_size for part in parts) > _QUICK_BYTES:
        return True
    for part in parts:
        shape = (part.samples, int(part.values["nSavedChans"]))
        words = np.memmap(part.binary, "<u2", "r", shape=shape)[:, -digital:]
        if np.any(words != words[:1]):
            return True
    return False


def _count_board_channels(values: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of analog channels and of digital words of a board."""
    for key, analog, digital in (("snsMnMaXaDw", slice(0, 3), 3), ("snsXaDwSy", slice(0, 1), 1)):
        counts = [int(count) for count in values.get(key, "").split(",") if count.strip().isdigit()]
        if len(counts) > digital:
            return sum(counts[analog]), counts[digital]
    return 1, 0


def find_openephys(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Open Ephys, binary format: streams, analog inputs, lines."""
    structures = tree.free("structure.oebin")
    roots: dict[Path, list[Path]] = {}
    for path in structures:
        roots.setdefault(_find_session(path, tree.root), []).append(path)
    for folder, files in roots.items():
        parts = list_openephys_parts(folder)
        for path in files:
            _note_missing(tree, path)
        experiments = sorted({part.experiment for part in parts})
        for index, experiment in enumerate(experiments):
            for stream in dict.fromkeys(part.name for part in parts if part.experiment == experiment):
                chosen = [part for part in parts if (part.name, part.experiment) == (stream, experiment)]
                yield from _propose_stream(tree, folder, stream, index, chosen, len(experiments) > 1)
        tree.claim([path for path in tree.below(folder) if path.name == "settings.xml"], "Open Ephys")
        tree.claim(files, "Open Ephys")


def _propose_stream(
    tree: RawTree, folder: Path, stream: str, index: int, parts: list[Any], several: bool
) -> Iterator[Candidate]:
    first = parts[0]
    channels = [str(channel.get("channel_name", "")) for channel in first.info.get("channels", [])]
    analog = [name for name in channels if "ADC" in name]
    files = [path for part in parts for path in tree.below(part.folder)]
    base = {"folder_path": folder}
    block = {"block_index": index} if several else {}
    options: dict[str, Any] = {"files": files, "device": f"{folder.name}_{index + 1}" if several else folder.name}
    name = re.sub(r"^.*#", "", stream)
    start = _read_date(folder.name)
    if len(analog) < len(channels):
        arguments = {**base, "stream_name": stream, **block}
        yield Candidate(
            name, "OpenEphysBinaryRecordingInterface", arguments, role="recording", start=start, **options
        )
    if analog:
        arguments = {**base, "stream_name": f"{stream}_ADC" if len(analog) < len(channels) else stream}
        yield Candidate(
            f"{name}_adc", "OpenEphysBinaryAnalogInterface", arguments, notes=[f"analog inputs {listed(analog)}"],
            **options,
        )  # fmt: skip
    lines = _find_lines(first.folder)
    if lines:
        arguments = {**base, "stream_name": stream, **block}
        yield Candidate(
            f"{name}_lines", "OpenEphysEventsInterface", arguments, role="events", is_accounted=False,
            notes=["digital lines (TTL)"], **{**options, "files": tree.below(lines)},
        )  # fmt: skip


def _find_lines(stream_folder: Path) -> Path | None:
    """Return the folder of a stream's TTL events, if there are any."""
    for folder in sorted((stream_folder.parents[1] / "events" / stream_folder.name).glob("TTL*")):
        states = next(
            (folder / name for name in ("states.npy", "channel_states.npy") if (folder / name).is_file()), None
        )
        if states is not None and states.stat().st_size > 128:  # more than a header
            return folder
    return None


def _find_session(structure: Path, root: Path) -> Path:
    """Return the folder of all record nodes of a recording: never above the folder that is looked through."""
    folder = structure.parents[2]
    if folder.name.startswith("Record Node"):
        folder = folder.parent
    return folder if folder.is_relative_to(root) else root


def _note_missing(tree: RawTree, structure: Path) -> None:
    try:
        content = json.loads(structure.read_text(encoding="utf-8"))
        names = [str(item["folder_name"]).strip("/") for item in content.get("continuous", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        tree.unreadable[structure] = f"not a file of Open Ephys: {type(error).__name__}"
        return
    for name in names:
        if not (structure.parent / "continuous" / name / "continuous.dat").is_file():
            tree.unreadable[structure.parent / "continuous" / name] = "the recording has no continuous.dat"


def find_openephys_legacy(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Open Ephys' older format: a folder of .continuous files."""
    folders = list(dict.fromkeys(path.parent for path in tree.free(".continuous")))
    for folder in folders:
        files = [
            path
            for path in tree.in_folder(folder)
            if path.suffix in (".continuous", ".openephys", ".events", ".timestamps", ".xml")
        ]
        name, device = folder.name, folder.parent.name if folder.name.startswith("Record Node") else folder.name
        yield Candidate(
            name, "OpenEphysLegacyRecordingInterface", {"folder_path": folder}, files, device=device, role="recording"
        )
        events = [
            path
            for path in files
            if path.suffix == ".events" and "messages" not in path.name and path.stat().st_size > _HEADER_BYTES
        ]
        if events:
            yield Candidate(
                f"{name}_lines", "OpenEphysEventsInterface", {"folder_path": folder}, events, device=device,
                role="events", is_accounted=False, notes=["digital lines (TTL)"],
            )  # fmt: skip


def find_single_files(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of one file, of which the ending says the format."""
    several = sum(path.suffix.lower() in _FILES for path in tree.files) > 1
    for path in tree.free(*_FILES):
        interface, name = _FILES[path.suffix.lower()]
        yield Candidate(
            path.name if several else name, interface, {"file_path": path}, [path], device=path.name, role="recording"
        )
    reason = "AbfInterface reads it as an intracellular recording, AxonRecordingInterface as an extracellular one"
    tree.dismiss(tree.free(".abf"), reason)


def find_intan(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Intan: a .rhd or .rhs with the files that go on with it, or that lie beside its header."""
    for path in tree.free(".rhd", ".rhs"):
        if path in tree.claimed:
            continue  # a later part
        is_folder = path.stem.lower() == "info"
        files = tree.below(path.parent) if is_folder else [path]
        files = [file for file in files if file.suffix.lower() in (".rhd", ".rhs", ".dat")]
        name = path.parent.name if is_folder else re.sub(r"_\d{6}_\d{6}$", "", path.stem)
        yield Candidate(
            name, "IntanRecordingInterface", {"file_path": path}, files, device=name, role="recording",
            start=_read_date(path.stem if not is_folder else path.parent.name),
        )  # fmt: skip


def find_blackrock(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Blackrock: .ns1 to .ns6, spikes and lines of the .nev."""
    streams = [path for path in tree.free() if re.fullmatch(r"\.ns[1-6]", path.suffix.lower())]
    stems = {path.with_suffix("") for path in streams}
    for path in streams:
        name = f"{path.stem}_{path.suffix[1:].lower()}"
        arguments = {"file_path": path}
        yield Candidate(name, "BlackrockRecordingInterface", arguments, [path], device=path.stem, role="recording")
    for path in tree.free(".nev"):
        with path.open("rb") as file:
            if file.read(8) not in (b"NEURALEV", b"BREVENTS"):
                continue
        yield Candidate(
            f"{path.stem}_spikes", "BlackrockSortingInterface", {"file_path": path}, [path], device=path.stem,
            role="sorting",
        )  # fmt: skip
        if path.with_suffix("") in stems:
            yield Candidate(
                f"{path.stem}_lines", "BlackrockEventsInterface", {"file_path": path}, [path], device=path.stem,
                role="events", is_accounted=False, notes=["digital input"],
            )  # fmt: skip


def find_neuralynx(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings of Neuralynx: a folder of .ncs files."""
    for folder in dict.fromkeys(path.parent for path in tree.free(".ncs")):
        files = [path for path in tree.in_folder(folder) if path.suffix.lower() in (".ncs", ".nev", ".nde", ".txt")]
        yield Candidate(
            folder.name, "NeuralynxRecordingInterface", {"folder_path": folder}, files, device=folder.name,
            role="recording",
        )  # fmt: skip
        for path in tree.in_folder(folder):
            if path.suffix.lower() == ".nvt":
                yield Candidate(
                    path.stem, "NeuralynxNvtInterface", {"file_path": path}, [path], device=folder.name,
                    is_accounted=False, notes=["positions of the video tracker"],
                )  # fmt: skip


def find_tdt(tree: RawTree) -> Iterator[Candidate]:
    """Find blocks of TDT: epocs; which stores are signals of what, a person says."""
    for path in tree.free(".tsq"):
        folder = path.parent
        endings = (".tsq", ".tbk", ".tdx", ".tev", ".tin", ".tnt", ".sev")
        files = [file for file in tree.in_folder(folder) if file.suffix.lower() in endings]
        has_signal = any(file.suffix.lower() in (".tev", ".sev") for file in files)
        arguments: dict[str, Any] = {"folder_path": folder}
        notes = ["epocs of a TDT block"]
        if not has_signal:
            arguments["without_signal"] = True
            notes.append("the .tev with the signals is missing: only the epocs can be read")
        yield Candidate(
            f"{folder.name}_epocs", "TDTEventsInterface", arguments, files, device=folder.name, role="events",
            notes=notes, is_accounted=False,
        )  # fmt: skip
        if has_signal:
            hint = (
                "TDTFiberPhotometryInterface (args: stream_names), or TdtRecordingInterface (args: stream_name, gain)"
            )
            yield Candidate(
                f"{folder.name}_signals", Mark(hint), {"folder_path": folder}, files, device=folder.name,
                notes=["the stores of the block"], is_accounted=False,
            )  # fmt: skip


def find_neuroscope(tree: RawTree) -> Iterator[Candidate]:
    """Find NeuroScope's files: .dat and .lfp beside an .xml, units in .clu and .res."""
    for path in tree.free(".xml"):
        binaries = [path.with_suffix(ending) for ending in (".dat", ".lfp", ".eeg")]
        binaries = [binary for binary in binaries if binary in tree.files and binary not in tree.claimed]
        interfaces = {".dat": "NeuroScopeRecordingInterface"}
        for binary in binaries:
            interface = interfaces.get(binary.suffix, "NeuroScopeLFPInterface")
            yield Candidate(
                f"{path.stem}_{binary.suffix[1:]}", interface, {"file_path": binary}, [binary, path],
                device=path.stem, role="recording", is_accounted=False,
            )  # fmt: skip
    clusters: dict[Path, list[Path]] = {}
    for path in tree.free():
        if re.fullmatch(r".+\.(clu|res)\.\d+", path.name):
            clusters.setdefault(path.parent, []).append(path)
    for folder, files in clusters.items():
        shanks = sorted({path.suffix[1:] for path in files})
        beside = [path for path in tree.in_folder(folder) if path.suffix in (".xml", ".nrs")]
        yield Candidate(
            "units", "NeuroScopeSortingInterface", {"folder_path": folder}, [*files, *beside], role="sorting",
            notes=[f"units in .clu and .res files of shanks {listed(shanks)}"], is_accounted=False,
        )  # fmt: skip


def _read_date(name: str) -> datetime | None:
    """Read a date and a time of a name: ``2022-07-25_15-30-00``, ``run_220725_153000``."""
    match = re.search(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)[_T](\d\d)-(\d\d)-(\d\d)(?!\d)", name)
    if match is None:
        match = re.search(r"(?<!\d)(\d\d)(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$", name)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year + 2000 * (year < 100), month, day, hour, minute, second)
    except ValueError:
        return None
