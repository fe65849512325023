"""Read Facemap's results of a video from the dictionary that it saves as ``<video>_proc.npy``.

The structure was learned by running facemap 1.0.8 with every combination of its options. Its lists need these rules:

* index 0 of ``motSVD``, ``motMask``, ``motion`` (and of ``mov…``) is the full frame, empty if ``fullSVD`` is false;
  the motion ROIs (``rind`` 1) follow in the order of ``rois``;
* ``motMask`` holds empty entries for ROIs even if ``motSVD`` was off, and then lacks the one of the full frame, and
  ``motion`` is all zeros: only ``motSVD`` says what was computed;
* ``motSv`` and ``movSv`` are kept for one region only (facemap #107) and are zeros for videos under 2000 frames, and
  ``movSv`` is zeros without ``motSVD`` (facemap #173);
* ``pupil`` centres are (y, x) relative to the ROI's corner; ``axlen`` holds squared semi-axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.errors import SourceError

Array = npt.NDArray[Any]

_PUPIL, _MOTION, _BLINK, _RUNNING = range(4)


@dataclass(frozen=True, kw_only=True)
class FacemapRegionSvd:
    """Singular value decomposition of one region of a video.

    Parameters
    ----------
    projections : ndarray of float32, shape (n_frames, n_components)
    masks : ndarray of float32, shape (height, width, n_components), optional
        Spatial components on the binned frame.
    singular_values : ndarray of float32, shape (n_components,), optional
        None where Facemap did not keep them.
    region : str
        The region of the frame, in words.
    """

    projections: Array
    masks: Array | None = None
    singular_values: Array | None = None
    region: str = "full frame"


@dataclass(frozen=True, kw_only=True)
class FacemapPupil:
    """One pupil.

    Parameters
    ----------
    area, area_smooth : ndarray of float64, shape (n_frames,)
        In pixels²; NaN where no pupil was found (the smoothed one has none).
    center, center_smooth : ndarray of float64, shape (n_frames, 2)
        Centre of mass (x, y) in pixels; in the frame if `in_frame`, else relative to the ROI's upper left corner.
    squared_semiaxes : ndarray of float64, shape (n_frames, 2)
        Of the ellipse, in pixels².
    axis_directions : ndarray of float64, shape (n_frames, 2, 2)
        Unit vectors as Facemap stores them: components (y, x) in the rows.
    """

    area: Array
    center: Array
    area_smooth: Array | None = None
    center_smooth: Array | None = None
    squared_semiaxes: Array | None = None
    axis_directions: Array | None = None
    in_frame: bool = True


@dataclass(frozen=True, kw_only=True)
class FacemapResults:
    """All results of Facemap for a video.

    Regions are numbered as Facemap's lists are: 0 the full frame, 1, 2, … the motion ROIs. Regions that Facemap did
    not compute are left out.

    Parameters
    ----------
    num_frames : int
    spatial_binning : int
        Pixels per bin of the masks and average images (``sbin``).
    motion_svd, movie_svd : mapping of int to FacemapSvd
    motion_energy : mapping of int to ndarray, shape (n_frames,)
        Summed absolute difference of consecutive binned frames. As facemap 1.0.8 computes it, sample i of the first
        500 is the difference between frames i and i+1 (the 500th, or the last of a shorter video, is 0), and
        from there on that between frames i-1 and i.
    motion_energy_aligned : bool
        True if that was corrected: sample i is the difference between frames i-1 and i, sample 0 repeats sample 1.
    pupils : sequence of FacemapPupil
    blinks : sequence of ndarray, shape (n_frames,)
    running : sequence of ndarray, shape (n_frames, 2)
        Shift (x, y) in pixels from one frame to the next.
    average_frame, average_motion : ndarray of float32, shape (height, width), optional
    videos : sequence of sequence of str
        Names of the video files: outer list in time, inner list recorded simultaneously.
    """

    num_frames: int
    spatial_binning: int = 1
    motion_svd: Mapping[int, FacemapRegionSvd] = field(default_factory=dict)
    movie_svd: Mapping[int, FacemapRegionSvd] = field(default_factory=dict)
    motion_energy: Mapping[int, Array] = field(default_factory=dict)
    motion_energy_aligned: bool = False
    pupils: Sequence[FacemapPupil] = ()
    blinks: Sequence[Array] = ()
    running: Sequence[Array] = ()
    average_frame: Array | None = None
    average_motion: Array | None = None
    videos: Sequence[Sequence[str]] = ()

    @classmethod
    def from_proc(cls, proc: Mapping[str, Any], *, where: str = "proc") -> FacemapResults:
        """Read the dictionary that ``facemap.process.run`` saves.

        Parameters
        ----------
        proc : mapping
            Content of ``<video>_proc.npy``.
        where : str
            Name of the source for error messages.

        Raises
        ------
        SourceError
            The dictionary is not Facemap's, or contradicts itself.
        """
        return _ProcReader(proc, where).results()


class _ProcReader:
    def __init__(self, proc: Mapping[str, Any], where: str) -> None:
        missing = [key for key in ("filenames", "motSVD", "motMask", "pupil") if key not in proc]
        if missing:
            raise SourceError(
                "not a result of Facemap",
                where=where,
                expected="the keys filenames, motSVD, motMask, pupil, …",
                found="no " + ", ".join(missing),
            )
        self.proc, self.where = proc, where
        rois = proc.get("rois")
        self.rois: list[Mapping[str, Any]] = [*rois] if isinstance(rois, list | tuple) else []
        self.motion_rois = self._rois(_MOTION)

    def results(self) -> FacemapResults:
        motion = self._svd("mot")
        energy = self._list("motion")
        results = FacemapResults(
            num_frames=0,
            spatial_binning=int(self.proc.get("sbin", 1)),
            motion_svd=motion,
            movie_svd=self._svd("mov"),
            motion_energy={i: np.asarray(energy[i]) for i in motion if i < len(energy)},
            pupils=[self._pupil(k, pupil) for k, pupil in enumerate(self._list("pupil"))],
            blinks=[np.asarray(blink) for blink in self._list("blink")],
            running=[np.asarray(shift)[:, ::-1] for shift in self._list("running")],
            average_frame=self._image("avgframe_reshape"),
            average_motion=self._image("avgmotion_reshape"),
            videos=_names(self.proc["filenames"]),
        )
        lengths = dict(_lengths(results))
        if not lengths:
            raise SourceError(
                "Facemap's result is empty",
                where=self.where,
                expected="a motion or movie SVD, a pupil, a blink or a running signal",
                hint="run Facemap again with motSVD, movSVD or ROIs",
            )
        if len(set(lengths.values())) > 1:
            raise SourceError(
                "the signals of a Facemap result differ in length",
                where=self.where,
                expected="one sample a frame in each",
                found=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            )
        return FacemapResults(**{**results.__dict__, "num_frames": next(iter(lengths.values()))})

    def _svd(self, kind: str) -> dict[int, FacemapRegionSvd]:
        projections = self._list(f"{kind}SVD")
        if not projections:
            return {}
        if len(projections) != 1 + len(self.motion_rois):
            raise SourceError(
                f"{kind}SVD of a Facemap result doesn't fit its ROIs",
                where=self.where,
                expected=f"{1 + len(self.motion_rois)} entries: the full frame, then each motion ROI",
                found=f"{len(projections)} entries",
            )
        masks = self._list(f"{kind}Mask_reshape")
        values = np.asarray(self.proc.get(f"{kind}Sv", []))
        # facemap loops over motMask for both, and each region overwrites the values of the one before.
        values_of = len(self._list("motMask")) - 1
        regions = {}
        for i, projection in enumerate(projections):
            data = np.asarray(projection)
            if data.ndim != 2 or data.shape[0] == 0:
                continue
            mask = np.asarray(masks[i]) if len(masks) == len(projections) else None
            if mask is not None and (mask.ndim != 3 or mask.shape[2] != data.shape[1]):
                raise SourceError(
                    f"masks and projections of {kind}SVD don't fit each other",
                    where=f"{self.where}: {kind}Mask_reshape[{i}]",
                    expected=f"(height, width, {data.shape[1]})",
                    found=str(mask.shape),
                )
            has_values = i == values_of and values.shape == (data.shape[1],) and bool(values.any())
            regions[i] = FacemapRegionSvd(
                projections=data,
                masks=mask,
                singular_values=values if has_values else None,
                region=self._region(i),
            )
        return regions

    def _region(self, index: int) -> str:
        if index == 0:
            return "full frame"
        roi = self.motion_rois[index - 1]
        y, x = roi["yrange"], roi["xrange"]
        text = f"motion ROI {index}, pixels x {int(x[0])} to {int(x[-1])}, y {int(y[0])} to {int(y[-1])}"
        return text + (f" of video {int(roi['ivid']) + 1}" if roi.get("ivid") else "")

    def _pupil(self, index: int, pupil: Mapping[str, Any]) -> FacemapPupil:
        rois = self._rois(_PUPIL)
        corner = np.zeros(2)
        if index < len(rois):
            corner = np.array([rois[index]["xrange"][0], rois[index]["yrange"][0]], dtype=np.float64)

        def center(key: str) -> Array | None:
            return np.asarray(pupil[key])[:, ::-1] + corner if key in pupil else None

        center_of_mass = center("com")
        if center_of_mass is None or "area" not in pupil:
            raise SourceError(
                "a pupil without area and centre", where=f"{self.where}: pupil[{index}]", found=", ".join(pupil)
            )
        return FacemapPupil(
            area=np.asarray(pupil["area"]),
            center=center_of_mass,
            area_smooth=_array(pupil.get("area_smooth")),
            center_smooth=center("com_smooth"),
            squared_semiaxes=_array(pupil.get("axlen")),
            axis_directions=_array(pupil.get("axdir")),
            in_frame=index < len(rois),
        )

    def _rois(self, kind: int) -> list[Mapping[str, Any]]:
        return [roi for roi in self.rois if roi.get("rind") == kind]

    def _list(self, key: str) -> list[Any]:
        value = self.proc.get(key)
        return [*value] if isinstance(value, list | tuple) else []

    def _image(self, key: str) -> Array | None:
        image = _array(self.proc.get(key))
        return image if image is not None and image.ndim == 2 else None


def _array(value: Any) -> Array | None:
    return None if value is None else np.asarray(value)


def _names(filenames: Any) -> list[list[str]]:
    # Folders are left out: a file that becomes public says nothing of the machine that made it.
    groups = filenames if isinstance(filenames, list | tuple) else [[filenames]]
    return [
        [str(name).replace("\\", "/").rsplit("/", 1)[-1] for name in ([g] if isinstance(g, str) else g)]
        for g in groups
    ]


def _lengths(results: FacemapResults) -> list[tuple[str, int]]:
    return [
        *((f"motion SVD {i}", len(svd.projections)) for i, svd in results.motion_svd.items()),
        *((f"movie SVD {i}", len(svd.projections)) for i, svd in results.movie_svd.items()),
        *((f"motion energy {i}", len(energy)) for i, energy in results.motion_energy.items()),
        *((f"pupil {k} {name}", len(data)) for k, p in enumerate(results.pupils) for name, data in _signals(p)),
        *((f"blink {k}", len(blink)) for k, blink in enumerate(results.blinks)),
        *((f"running {k}", len(shift)) for k, shift in enumerate(results.running)),
    ]


def _signals(pupil: FacemapPupil) -> list[tuple[str, Array]]:
    return [(name, data) for name, data in pupil.__dict__.items() if isinstance(data, np.ndarray)]
