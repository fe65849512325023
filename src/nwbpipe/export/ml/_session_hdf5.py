"""A session of a data set as a file of temporaldata (and torch_brain), and back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import DamagedFileError
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Floats
from nwbpipe.export._spikes import ALWAYS
from nwbpipe.export.ml._dataset import MlDataset
from nwbpipe.export.ml._declaration import PARTS, Declaration
from nwbpipe.export.ml._streams import Data, Labels, Points, Session, Signal


def name_units(declaration: Declaration, name: str) -> str:
    """Return the name of the units of an input: ``units`` of the only one, as torch_brain expects it."""
    tables = [key for key, stream in declaration.streams.items() if stream.source == "units"]
    return "units" if tables == [name] else f"{name}_units"


def write_session(path: Path, session: Session, dataset: MlDataset) -> None:
    """Write a session as `temporaldata.Data`: events and series at their own times, in their own units.

    ``train``, ``valid`` and ``test`` are the stretches of the parts. Series are as the session has them; ``mean`` and
    ``deviation`` of ``<name>_columns`` are those of the training part.
    """
    temporal = import_library("temporaldata")
    declaration = dataset.declaration
    start, stop = session.domain
    if session.anchors is not None and not np.isfinite((start, stop)).all():
        finite = session.anchors[np.isfinite(session.anchors)]
        start, stop = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    domain = temporal.Interval(np.array([start]), np.array([stop]))
    data = temporal.Data(
        domain=domain,
        session=temporal.Data(id=session.name, day=session.day),
        subject=temporal.Data(id=session.subject),
    )
    for part in PARTS:
        stretches = [stretch for stretch in dataset.stretches[session.name] if stretch.part == part]
        starts = np.clip([stretch.start for stretch in stretches], start, stop)
        stops = np.clip([stretch.stop for stretch in stretches], start, stop)
        setattr(data, part, temporal.Interval(np.asarray(starts, float), np.asarray(stops, float)))
    trials: dict[str, Any] = {} if session.anchors is None else {"time": session.anchors}
    for name, item in session.data.items():
        if isinstance(item, Labels):
            trials[name] = _encode(item.values)
        elif isinstance(item, Points):
            _add_points(temporal, data, name, item, name_units(declaration, name))
        else:
            _add_signal(temporal, data, name, item, dataset.fits.find_scale(name, session.name))
    if trials:
        data.trials = temporal.ArrayDict(**trials)
    with h5py.File(path, "x") as file:
        data.to_hdf5(file)
        file.attrs["nwbpipe_digest"] = dataset.digest


def _add_points(temporal: Any, data: Any, name: str, points: Points, units: str) -> None:
    times, numbers = points.merged
    first, last = points.extent
    domain = temporal.Interval(np.array([first]), np.array([np.nextafter(last, np.inf)]))
    setattr(data, name, temporal.IrregularTimeSeries(timestamps=times, unit_index=numbers, domain=domain))
    columns = {
        key if key != "id" else "table_id": _encode(values)
        for key, values in points.columns.items()
        if key.isidentifier() and values.dtype.kind in "fiubOU"
    }
    setattr(data, units, temporal.ArrayDict(id=_encode(np.array(points.ids)), **columns))
    observed = [(unit, *row) for unit, rows in enumerate(points.observed) for row in rows if not np.isneginf(row[0])]
    if observed:
        unit, start, stop = np.array(observed, dtype=np.float64).T
        setattr(data, f"{name}_observed", temporal.ArrayDict(unit=unit.astype(np.int64), start=start, stop=stop))


def _add_signal(temporal: Any, data: Any, name: str, signal: Signal, scale: Any) -> None:
    values = signal.read(0, signal.count)
    if signal.stamps is None:
        series = temporal.RegularTimeSeries(values=values, sampling_rate=signal.rate, domain_start=signal.start)
    else:
        domain = temporal.Interval(signal.stamps[:1], np.nextafter(signal.stamps[-1:], np.inf))
        series = temporal.IrregularTimeSeries(timestamps=signal.stamps, values=values, domain=domain)
    setattr(data, name, series)
    columns: dict[str, Any] = {"id": _encode(np.array(signal.labels))}
    if scale is not None:
        columns["mean"] = np.broadcast_to(scale.mean, (len(signal.labels),)).copy()
        columns["deviation"] = np.broadcast_to(scale.deviation, (len(signal.labels),)).copy()
    setattr(data, f"{name}_columns", temporal.ArrayDict(**columns))


def _encode(values: NDArray[Any]) -> NDArray[Any]:
    """Return texts as temporaldata stores them: it has ASCII alone, so that others are UTF-8 in bytes."""
    if values.dtype.kind not in "OU":
        return values
    texts = [str(value) for value in values.tolist()]
    if all(text.isascii() for text in texts):
        return np.array(texts, dtype=str)
    return np.array([text.encode() for text in texts], dtype=bytes)


def _decode(dataset: h5py.Dataset) -> NDArray[Any]:
    values = dataset[()]
    if values.dtype.kind != "S":
        return np.asarray(values)
    return np.array([value.decode() for value in values.tolist()], dtype=object)


def read_session(path: Path, facts: Mapping[str, Any], declaration: Declaration, digest: str) -> Session:
    """Return a session of an exported data set; series stay in the file until they are asked for.

    Parameters
    ----------
    path : Path
        File of `write_session`.
    facts : mapping
        The session in the manifest.
    declaration : Declaration
    digest : str
        Of the data set.

    Raises
    ------
    DamagedFileError
        If the file is missing, not as it was written, or of another data set.
    """
    try:
        with h5py.File(path, "r") as file:
            require_digest(path, str(file.attrs["nwbpipe_digest"]), digest)
            data = {name: _read(file, path, name, facts, declaration) for name in declaration.streams}
            anchors = None if declaration.dataset.around is None else np.asarray(file["trials/time"][()], np.float64)
    except (OSError, KeyError) as error:
        msg = "a session of the data set can't be read"
        raise DamagedFileError(msg, where=str(path), found=str(error), hint="export it again") from error
    return Session(
        facts["name"], facts["subject"], facts["session"], facts["day"], data, facts["paths"], facts["identities"],
        facts["runs"], anchors,
    )  # fmt: skip


def require_digest(path: Path, found: str, digest: str) -> None:
    """Refuse a file of another data set: a folder may be copied over another one.

    Raises
    ------
    DamagedFileError
        The digest in the file is not that of the data set.
    """
    if found != digest:
        msg = "the folder has files of several data sets"
        raise DamagedFileError(msg, where=str(path), expected=digest, found=found, hint="export it again")


def _read(file: h5py.File, path: Path, name: str, facts: Mapping[str, Any], declaration: Declaration) -> Data:
    stream = declaration.streams[name]
    if stream.source == "column":
        return Labels(_decode(file[f"trials/{name}"]))
    if stream.source == "series":
        return _read_signal(file, path, name, facts["signals"][name], stream.method)
    ids = _decode(file[f"{name_units(declaration, name)}/id"]).tolist()
    times, numbers = file[f"{name}/timestamps"][()], file[f"{name}/unit_index"][()]
    observed: list[Floats] = [ALWAYS] * len(ids)
    if f"{name}_observed" in file:
        stored = {key: file[f"{name}_observed/{key}"][()] for key in ("unit", "start", "stop")}
        intervals = np.stack([stored["start"], stored["stop"]], axis=1)
        observed = [rows if len(rows := intervals[stored["unit"] == n]) else ALWAYS for n in range(len(ids))]
    columns = {key: _decode(item) for key, item in file[name_units(declaration, name)].items() if key != "id"}
    counts = np.bincount(numbers, minlength=len(ids))
    by_unit = np.split(times[np.argsort(numbers, kind="stable")], np.cumsum(counts))[:-1]
    return Points([str(unit) for unit in ids], by_unit, observed, columns, is_population=stream.source == "units")


def _read_signal(file: h5py.File, path: Path, name: str, facts: Mapping[str, Any], method: str | None) -> Signal:
    group = file[name]
    is_regular = "timestamps" not in group
    return Signal(
        labels=[str(label) for label in _decode(file[f"{name}_columns/id"]).tolist()],
        is_population=facts["is_population"],
        unit=facts["unit"],
        count=int(group["values"].shape[0]),
        rate=float(group.attrs["sampling_rate"]) if is_regular else 0.0,
        start=float(group["domain/start"][0]) if is_regular else 0.0,
        stamps=None if is_regular else group["timestamps"][()],
        read=partial(_read_values, path, name),
        method=method,
    )


def _read_values(path: Path, name: str, first: int, last: int) -> NDArray[Any]:
    with h5py.File(path, "r") as file:
        return np.asarray(file[f"{name}/values"][first:last]).reshape(last - first, -1)
