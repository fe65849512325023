"""Write a simulated movie and its truth into a session file; the truth is a step like any other."""

from __future__ import annotations

import platform
import uuid
import warnings
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.simulate._two_photon import TwoPhotonSettings, TwoPhotonTruth, simulate_movie

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Names of the truth's step, and of the processor in its record.
TRUTH_STEP, SIMULATION = "truth", "simulation"
REVISION = 1
_START = datetime.fromisoformat("2024-05-01T10:00:00-04:00")


def simulate_two_photon(
    path: Path | str, settings: TwoPhotonSettings | None = None, **changes: Any
) -> TwoPhotonTruth:
    """Write an NWB file with a simulated calcium movie; its truth is the step ``truth``.

    The truth has the same containers as the result of a method: ``MotionCorrectionShifts_truth``,
    ``PlaneSegmentation_truth`` with the columns ``dim``, ``dendrite`` and ``red``, ``Fluorescence_truth``, and
    ``Deconvolved_truth`` (numbers of spikes).

    Parameters
    ----------
    path : path
        The file; an existing one is replaced.
    settings : TwoPhotonSettings, optional
        Settings of the movie.
    **changes
        Fields of `settings` to change.

    Returns
    -------
    TwoPhotonTruth

    Examples
    --------
    >>> truth = simulate_two_photon("simulated.nwb", cells=20, size=(128, 128))  # doctest: +SKIP
    """
    from pynwb import NWBHDF5IO

    import nwbpipe.extensions  # noqa: F401  (registers our types)

    if "what" in changes:
        warnings.warn("the argument `what` is now called `settings`", FutureWarning, stacklevel=2)
        settings = changes.pop("what")
    settings = replace(settings or TwoPhotonSettings(), **changes)
    started = datetime.now(UTC)
    movie, second, truth = simulate_movie(settings)
    nwbfile = _build_session(settings)
    _add_movie(nwbfile, settings, truth, "TwoPhotonSeries", movie)
    if second is not None:
        _add_movie(nwbfile, settings, truth, "SecondChannel", second)
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwbfile)
    with NWBHDF5IO(str(path), "a") as io:  # links into tables need tables that are in a file already
        nwbfile = io.read()
        _add_truth(nwbfile, settings, truth, nwbfile.acquisition["TwoPhotonSeries"], started)
        io.write(nwbfile)
    return truth


def _build_session(settings: TwoPhotonSettings) -> NWBFile:
    from pynwb import NWBFile
    from pynwb.file import Subject

    nwbfile = NWBFile(
        session_description="A simulated calcium movie with known truth.",
        identifier=f"simulated-{uuid.uuid4().hex}",
        session_start_time=_START,
        session_id=f"simulated-{settings.seed}",
        experimenter=["Doe, Jane"],
        lab="Simulated lab",
        institution="Simulated institution",
        experiment_description="Written by nwbpipe.simulate to test methods.",
        keywords=["simulation", "calcium imaging"],
    )
    nwbfile.subject = Subject(
        subject_id="simulated", species="Mus musculus", sex="F", age="P90D", description="None."
    )
    return nwbfile


def _add_movie(nwbfile: NWBFile, settings: TwoPhotonSettings, truth: TwoPhotonTruth, name: str, movie: Any) -> Any:
    from pynwb import H5DataIO
    from pynwb.ophys import OnePhotonSeries, OpticalChannel, TwoPhotonSeries

    if "Microscope" not in nwbfile.devices:
        nwbfile.create_device(name="Microscope", description="A simulated microscope.")
        nwbfile.create_imaging_plane(
            name="ImagingPlane",
            optical_channel=OpticalChannel(name="green", description="The green channel.", emission_lambda=520.0),
            description="A simulated plane.",
            device=nwbfile.devices["Microscope"],
            excitation_lambda=920.0 if settings.kind == "two_photon" else 470.0,
            indicator="GCaMP6f",
            location="VISp",
            grid_spacing=[1.5e-6, 1.5e-6],
            grid_spacing_unit="meters",
            origin_coords=[0.0, 0.0],
            origin_coords_unit="meters",
        )
    times: dict[str, Any] = (
        {"timestamps": truth.times} if settings.dropped else {"rate": settings.rate, "starting_time": 0.0}
    )
    chunk = (min(16, len(movie)), *movie.shape[1:3], *(1,) * (movie.ndim - 3))
    series = (TwoPhotonSeries if settings.kind == "two_photon" else OnePhotonSeries)(
        name=name,
        description="A simulated movie." if name == "TwoPhotonSeries" else "A simulated structural marker.",
        data=H5DataIO(movie, compression="gzip", compression_opts=1, shuffle=True, chunks=chunk),
        imaging_plane=nwbfile.imaging_planes["ImagingPlane"],
        unit="n.a.",
        **times,
    )
    nwbfile.add_acquisition(series)
    return series


def _name_type(container: Any) -> str:
    return str(
        getattr(container, "neurodata_type", None) or container.data_type
    )  # hdmf's own types have the second only


def _add_truth(
    nwbfile: NWBFile, settings: TwoPhotonSettings, truth: TwoPhotonTruth, series: Any, started: datetime
) -> None:
    from nwbpipe import __version__
    from nwbpipe.processors import Context
    from nwbpipe.processors.imaging import Motion, Rois, Traces, write_motion, write_segmentation, write_traces
    from nwbpipe.provenance import (
        ObjectRecord,
        RunRecord,
        add_record,
        digest,
        parameters_hash,
        read_host_label,
        run_key,
    )

    context = Context(TRUTH_STEP, None, {})
    module = context.module(nwbfile, "ophys")
    shifts, blocks = truth.shifts.astype(np.float32), truth.block_shifts.astype(np.float32)
    if settings.planes > 1:
        shifts, blocks = (np.repeat(values[:, None], settings.planes, axis=1) for values in (shifts, blocks))
    motion = Motion(shifts, {}, truth.blocks, blocks, "Mean over the frame; subpixel.")
    write_motion(module, context, series, motion if settings.nonrigid else Motion(shifts, note=motion.note))
    pixels = [np.nonzero(mask) for mask in truth.masks]
    rois = Rois(
        index=np.cumsum([len(x) for x, _ in pixels]),
        x=np.concatenate([x for x, _ in pixels]),
        y=np.concatenate([y for _, y in pixels]),
        weight=np.concatenate([f[mask_pixels] for f, mask_pixels in zip(truth.footprints, pixels, strict=True)]),
        plane=truth.plane if settings.planes > 1 else None,
        columns={
            "iscell": ("True for the body of a cell.", ~truth.dendrite),
            "dim": ("True for a dim cell, with a third of the signal.", truth.dim),
            "dendrite": ("True for a dendrite.", truth.dendrite),
            "red": ("True if the second channel shows it.", truth.red),
        },
    )
    text = "The simulated ROIs: pixels in which a footprint is above a quarter of its maximum, without motion."
    table = write_segmentation(module, context, series, rois, text)
    write_traces(
        module,
        context,
        series,
        table,
        fluorescence=[Traces("RoiResponseSeries", truth.traces, "Photons at the brightest pixel, without noise.")],
        deconvolved=[Traces("Deconvolved", truth.spikes, "Number of spikes in each frame.", "spikes")],
    )
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    add_record(
        nwbfile,
        RunRecord(
            key=run_key(SIMULATION, REVISION, values, settings.seed, {}),
            run_id=uuid.uuid4().hex,
            step=TRUTH_STEP,
            processor=SIMULATION,
            revision=REVISION,
            tool="numpy",
            tool_version=np.__version__,
            parameters=values,
            parameters_hash=parameters_hash(values),
            inputs=(ObjectRecord("movie", f"/acquisition/{series.name}", series.object_id, series.neurodata_type),),
            outputs=tuple(
                ObjectRecord(
                    container.name, f"/processing/ophys/{container.name}", container.object_id, _name_type(container)
                )
                for container in module.data_interfaces.values()
            ),
            started=started,
            ended=datetime.now(UTC),
            host=read_host_label(),
            python=platform.python_version(),
            seed=settings.seed,
            compute_digest=digest(b""),
            software=f"nwbpipe {__version__}",
        ),
    )
