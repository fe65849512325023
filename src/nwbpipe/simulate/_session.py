"""Simulate a session: raw files of six streams, their spec, and the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml

from nwbpipe.disk import remove_file
from nwbpipe.errors import OverwriteError, ParameterError, SourceError
from nwbpipe.simulate._behavior import BehaviorTruth, write_behavior
from nwbpipe.simulate._common import DRIFTS_PPM, OFFSETS_S, SCALES, Size, make_generator
from nwbpipe.simulate._ephys import PULSE_BITS, RUN, EphysTruth, write_ephys
from nwbpipe.simulate._face import FaceTruth, write_face
from nwbpipe.simulate._imaging import ImagingTruth, write_imaging
from nwbpipe.simulate._photometry import PhotometryTruth, write_photometry
from nwbpipe.simulate._pose import PoseTruth, build_pose_path, write_pose
from nwbpipe.simulate._truth import load_truth, save_truth

SESSION_START = datetime.fromisoformat("2024-05-01T10:00:00-04:00")
_SUMMARY = "truth.json"


@dataclass(frozen=True)
class SimulatedSession:
    """A simulated session on disk. Its truth is read when it is first needed.

    Attributes
    ----------
    folder : Path
        The session's folder; every path below is inside it.
    seed : int
        Seed of the session.
    size : str
        ``demo`` or ``small``.
    """

    folder: Path
    seed: int
    size: Size

    @classmethod
    def open(cls, folder: Path | str) -> SimulatedSession:
        """Open a session that :func:`simulate_session` wrote.

        Raises
        ------
        SourceError
            There is no finished simulated session in `folder`.
        """
        folder = Path(folder)
        summary = folder / "truth" / _SUMMARY
        if not summary.is_file():
            raise SourceError(
                "the folder has no complete simulated session",
                where=str(folder),
                expected=f"truth/{_SUMMARY}",
                found="no such file",
                hint="write one with nwbpipe.simulate.simulate_session",
            )
        content = json.loads(summary.read_text(encoding="utf-8"))
        return cls(folder, int(content["seed"]), content["size"])

    @property
    def spec(self) -> Path:
        """The session.yaml."""
        return self.folder / "session.yaml"

    @property
    def truth_folder(self) -> Path:
        """Folder of the truth; no source of the spec reads it."""
        return self.folder / "truth"

    @property
    def scan(self) -> Path:
        """ScanImage BigTIFF of the two-photon movie."""
        return self.folder / "imaging" / "scan_00001.tif"

    @property
    def ephys_folder(self) -> Path:
        """SpikeGLX run folder; its stream is ``imec0.ap``."""
        return self.folder / "ephys" / RUN

    @property
    def ap_bin(self) -> Path:
        """SpikeGLX binary: int16, shape (n_samples, n_channels + 1), the sync word last."""
        return self.ephys_folder / f"{RUN}_imec0" / f"{RUN}_t0.imec0.ap.bin"

    @property
    def video(self) -> Path:
        """Face video: AVI, FFV1 (lossless), 8-bit gray."""
        return self.folder / "video" / "face.avi"

    @property
    def video_timestamps(self) -> Path:
        """Times of the video's frames in the camera's clock (CSV: frame, time_s)."""
        return self.folder / "video" / "face_timestamps.csv"

    @property
    def pose(self) -> Path:
        """DeepLabCut's CSV for the face video."""
        return build_pose_path(self.folder / "pose", self.video)

    @property
    def pose_config(self) -> Path:
        """config.yaml of the DeepLabCut project."""
        return self.folder / "pose" / "config.yaml"

    @property
    def trials(self) -> Path:
        """Trials in the behaviour computer's clock (CSV)."""
        return self.folder / "behavior" / "trials.csv"

    @property
    def events(self) -> Path:
        """Events in the behaviour computer's clock (CSV: name, time)."""
        return self.folder / "behavior" / "events.csv"

    @property
    def photometry_mat(self) -> Path:
        """Raw channels of the photometry rig (``.mat``)."""
        return self.folder / "photometry" / "data.mat"

    @property
    def photometry_settings(self) -> Path:
        """Settings of the photometry rig (TOML)."""
        return self.folder / "photometry" / "settings.toml"

    @property
    def offsets_s(self) -> dict[str, float]:
        """For each clock, the reference time at its time 0, in seconds."""
        return dict(OFFSETS_S)

    @property
    def drifts_ppm(self) -> dict[str, float]:
        """For each clock, its drift in parts per million."""
        return dict(DRIFTS_PPM)

    @cached_property
    def imaging(self) -> ImagingTruth:
        """Truth of the two-photon movie."""
        return load_truth(self.truth_folder / "imaging.npz", ImagingTruth)

    @cached_property
    def ephys(self) -> EphysTruth:
        """Truth of the probe recording."""
        return load_truth(self.truth_folder / "ephys.npz", EphysTruth)

    @cached_property
    def face(self) -> FaceTruth:
        """Truth of the face video."""
        return load_truth(self.truth_folder / "face.npz", FaceTruth)

    @cached_property
    def keypoints(self) -> PoseTruth:
        """Truth of the pose estimate."""
        return load_truth(self.truth_folder / "pose.npz", PoseTruth)

    @cached_property
    def behavior(self) -> BehaviorTruth:
        """Truth of the trials and events."""
        return load_truth(self.truth_folder / "behavior.npz", BehaviorTruth)

    @cached_property
    def photometry(self) -> PhotometryTruth:
        """Truth of the photometry."""
        return load_truth(self.truth_folder / "photometry.npz", PhotometryTruth)


def simulate_session(
    folder: Path | str, *, seed: int = 0, size: Size = "demo", overwrite: bool = False
) -> SimulatedSession:
    """Write a multimodal session with known truth, in raw formats that real readers open.

    The session has a ScanImage movie, a SpikeGLX recording, a face video with its frames' times, a DeepLabCut CSV,
    trials and events, and raw photometry, each with its own clock, and a ``session.yaml``. The probe's clock is the
    reference. The clocks of the camera and the behaviour computer drift; the probe's sync channel records their
    pulses. The same seed gives the same bytes with the same versions of numpy, SpikeInterface and PyAV.

    Parameters
    ----------
    folder : Path or str
        Created if it is missing.
    seed : int, default 0
        Seed of all randomness, 0 or above.
    size : {"demo", "small"}, default "demo"
        ``demo``: 46 s, 60 cells, 64 channels with 10 units that drift, about 350 MB; large enough to compare suite2p,
        a spike sorter and Facemap with the truth. ``small``: 4 s, under 10 MB, for tests of conversion.
    overwrite : bool, default False
        Replace a session that is in `folder` already.

    Returns
    -------
    SimulatedSession
        Paths and truth.

    Raises
    ------
    ParameterError
        `size` or `seed` is not valid.
    OverwriteError
        `folder` holds a session and `overwrite` is false.
    ToolMissingError
        A package that writes one of the formats is not installed; the hint names the extra.
    """
    if size not in get_args(Size):
        raise ParameterError("unknown size", expected=" or ".join(get_args(Size)), found=repr(size))
    if seed < 0:
        raise ParameterError("the seed is negative", expected="0 or above", found=str(seed))
    session = SimulatedSession(Path(folder), seed, size)
    if session.spec.exists() and not overwrite:
        raise OverwriteError(
            "the folder already has a session",
            where=str(session.spec),
            hint="choose another folder, or pass overwrite=True",
        )
    scale = SCALES[size]
    summary = session.truth_folder / _SUMMARY
    session.truth_folder.mkdir(parents=True, exist_ok=True)
    # The summary marks a complete session: it is deleted first and written last.
    remove_file(summary)
    local_start = SESSION_START.replace(tzinfo=None)
    imaging = write_imaging(
        session.scan,
        make_generator(seed, "imaging"),
        scale,
        start_time=local_start + timedelta(seconds=OFFSETS_S["scope"]),
        offset_s=OFFSETS_S["scope"],
    )
    face = write_face(session.video, session.video_timestamps, make_generator(seed, "face"), scale)
    pose = write_pose(session.pose.parent, session.video, make_generator(seed, "pose"), face)
    behavior = write_behavior(session.trials, session.events, make_generator(seed, "behavior"), scale)
    ephys = write_ephys(
        session.ephys_folder.parent,
        make_generator(seed, "ephys"),
        scale,
        local_start.isoformat(),
        pulses={"face": face.exposure_times, "behavior": behavior.event_times},
    )
    cues = behavior.event_times[np.array(behavior.event_names) == "cue"]
    photometry = write_photometry(
        session.photometry_mat,
        session.photometry_settings,
        make_generator(seed, "photometry"),
        scale.duration_s,
        cues,
        offset_s=OFFSETS_S["photometry"],
    )
    streams = {
        "photometry": photometry,
        "imaging": imaging,
        "ephys": ephys,
        "face": face,
        "pose": pose,
        "behavior": behavior,
    }
    for name, truth in streams.items():
        save_truth(session.truth_folder / f"{name}.npz", truth)
    header = "# A simulated session (nwbpipe.simulate). Its truth is in truth/, which no source reads.\n"
    session.spec.write_text(
        header + yaml.safe_dump(_build_spec(session), sort_keys=False, width=110), encoding="utf-8"
    )
    content = {"seed": seed, "size": size, "session_start_time": SESSION_START.isoformat(), "offsets_s": OFFSETS_S}
    content["drifts_ppm"] = DRIFTS_PPM
    summary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return session


def _build_spec(session: SimulatedSession) -> dict[str, Any]:
    """Return the session.yaml as a mapping; paths are relative to it."""

    def make_relative(path: Path) -> str:
        return path.relative_to(session.folder).as_posix()

    return {
        "nwbpipe": 1,
        "subject": {
            "subject_id": f"sim{session.seed:03d}",
            "species": "Mus musculus",
            "sex": "F",
            "age": "P90D",
            "description": "A simulated mouse.",
        },
        "session": {
            "session_id": f"simulated-{session.size}",
            "session_start_time": SESSION_START.isoformat(),
            "session_description": "Simulated imaging, probe recording, face video and behaviour with known truth.",
            "experimenter": ["Doe, Jane"],
            "lab": "Simulated lab",
            "institution": "Simulated institution",
            "experiment_description": "Raw data written by nwbpipe.simulate to test conversion and processing.",
            "keywords": ["simulation", "two-photon imaging", "Neuropixels", "face", "behavior"],
        },
        "reference_clock": "probe",
        "sources": {
            "probe": {
                "interface": "SpikeGLXRecordingInterface",
                "args": {"folder_path": make_relative(session.ephys_folder), "stream_id": "imec0.ap"},
            },
            "sync": {
                "interface": "SpikeGLXSyncChannelInterface",
                "args": {"folder_path": make_relative(session.ephys_folder), "stream_id": "imec0.ap-SYNC"},
                "clock": "probe",
            },
            "scope": {"interface": "ScanImageImagingInterface", "args": {"file_path": make_relative(session.scan)}},
            "face": {
                "interface": "ExternalVideoInterface",
                "args": {"file_paths": [make_relative(session.video)]},
                "options": {"video": "link"},
            },
            "pose": {
                "interface": "DeepLabCutInterface",
                "args": {
                    "file_path": make_relative(session.pose),
                    "config_file_path": make_relative(session.pose_config),
                },
                "clock": "face",
            },
            "trials": {
                "interface": "CsvTimeIntervalsInterface",
                "args": {"file_path": make_relative(session.trials)},
                "clock": "behavior",
            },
            "events": {
                "interface": "BehaviorEventsInterface",
                "args": {"file_path": make_relative(session.events), "time_column": "time", "name_column": "name"},
                "clock": "behavior",
            },
            "photometry": {
                "interface": "MatlabFiberPhotometryInterface",
                "args": {
                    "file_path": make_relative(session.photometry_mat),
                    "settings_file_path": make_relative(session.photometry_settings),
                    "unit": "volts",
                },
            },
        },
        "clocks": {
            "scope": {"align": "start", "offset_s": OFFSETS_S["scope"]},
            "face": {
                "align": "pulses",
                "pulses": {"file": make_relative(session.video_timestamps), "column": "time_s"},
                "reference_pulses": {"source": "sync", "bit": PULSE_BITS["face"]},
                "start_within_s": 0.01,
                "timestamps": {"file": make_relative(session.video_timestamps), "column": "time_s"},
            },
            "behavior": {
                "align": "pulses",
                "pulses": {"source": "events", "events": "*"},
                "reference_pulses": {"source": "sync", "bit": PULSE_BITS["behavior"]},
                "start_within_s": 0.1,
            },
            "photometry": {"align": "start", "offset_s": OFFSETS_S["photometry"]},
        },
        "metadata": {
            "Devices": {"neuropixels_18005100001": {"description": "A simulated Neuropixels 1.0 probe."}},
            "Ecephys": {"ElectrodeGroups": {"NeuropixelsImec0": {"location": "VISp"}}},
            "Ophys": {
                "ImagingPlanes": {
                    "scope": {
                        "description": "A simulated plane in layer 2/3.",
                        "location": "VISp",
                        "indicator": "GCaMP6f",
                        "excitation_lambda": 920.0,
                    }
                }
            },
        },
    }
