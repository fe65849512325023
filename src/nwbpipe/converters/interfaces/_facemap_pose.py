"""Facemap's keypoints, ``<video>_FacemapPose.h5``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pydantic import FilePath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._frame_times import FrameTimesInterface
from nwbpipe.errors import SourceError

_COORDINATES = ("x", "y", "likelihood")


@interface(extra="behavior")
class FacemapPoseInterface(FrameTimesInterface):
    """Keypoints of the face tracked by Facemap, one sample a frame of the video.

    The file is plain HDF5, ``<scorer>/<body part>/{x,y,likelihood}``, and holds no times: give `sampling_frequency`,
    or align the source's clock with timestamps, one per frame. Written as ndx-pose's ``PoseEstimation`` with a
    ``Skeleton`` (nodes only: Facemap connects no keypoints).

    Parameters
    ----------
    file_path : FilePath
        Path to the ``_FacemapPose.h5`` file.
    sampling_frequency : float, optional
        Frame rate of the video in Hz.
    metadata_key : str
        Ends the containers' names where the file holds such containers already.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file is not Facemap's, is damaged, or its keypoints differ in length.
    """

    display_name = "Facemap keypoints"
    keywords = ("behavior", "face", "pose estimation")
    associated_suffixes = ("_FacemapPose.h5",)
    info = "Interface for the keypoints that Facemap tracks."

    def __init__(
        self,
        file_path: FilePath,
        *,
        sampling_frequency: float | None = None,
        metadata_key: str = "facemap_pose",
        verbose: bool = False,
    ) -> None:
        # ndx-pose's types have to be known before the file is written; a missing package is named at once.
        import ndx_pose  # noqa: F401

        super().__init__(
            verbose=verbose,
            file_path=str(file_path),
            sampling_frequency=sampling_frequency,
            metadata_key=metadata_key,
        )
        self.metadata_key = metadata_key
        self.scorer, self.keypoints = _read(Path(file_path))
        self._use_frames(len(next(iter(self.keypoints.values()))), sampling_frequency)

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write a ``PoseEstimation`` and its ``Skeleton`` to the module ``behavior``.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons
        from neuroconv.tools.nwb_helpers import get_module

        module = get_module(nwbfile, "behavior", "processed behavioral data")
        name = "PoseEstimationFacemap"
        if name in module.data_interfaces:
            name = f"{name}_{self.metadata_key}"
        timing = self._times().arguments()
        series: list[Any] = []
        for part, data in self.keypoints.items():
            series.append(
                PoseEstimationSeries(
                    name=f"PoseEstimationSeries_{_node(part)}",
                    description=f"Position of {part} in each frame.",
                    data=data[:, :2],
                    unit="pixels",
                    reference_frame="(0, 0) is the upper left pixel of the video frame, x to the right, y downward",
                    confidence=data[:, 2],
                    confidence_definition="likelihood: Facemap's heatmap peak, 0 to 1",
                    **timing,
                )
            )
            if "timestamps" in timing:
                timing = {"timestamps": series[0]}
        skeleton = Skeleton(name=f"Skeleton_{name}", nodes=[_node(part) for part in self.keypoints])
        skeletons = module.data_interfaces.get("Skeletons")
        if skeletons is None:
            module.add(Skeletons(skeletons=[skeleton]))
        else:
            skeletons.add_skeletons(skeleton)
        module.add(
            PoseEstimation(
                name=name,
                pose_estimation_series=series,
                description="Keypoints of the face tracked by Facemap.",
                source_software="Facemap",
                scorer=self.scorer,
                skeleton=skeleton,
            )
        )


def _read(path: Path) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    try:
        with h5py.File(path, "r") as file:
            scorers = [name for name in file if isinstance(file[name], h5py.Group)]
            if len(scorers) != 1 or not len(file[scorers[0]]):
                raise _not_facemap_error(path, f"the groups {', '.join(file) or '(none)'} at the top")
            group = file[scorers[0]]
            keypoints = {}
            for part in group:
                entry = group[part]
                lacks = [key for key in _COORDINATES if not isinstance(entry, h5py.Group) or key not in entry]
                if lacks:
                    raise _not_facemap_error(path, f"{scorers[0]}/{part} without {', '.join(lacks)}")
                columns = [np.asarray(entry[key]) for key in _COORDINATES]
                if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
                    raise _not_facemap_error(path, f"{part}: shapes {', '.join(str(c.shape) for c in columns)}")
                keypoints[str(part)] = np.stack(columns, axis=1)
    except OSError as error:
        raise SourceError(
            "the file is damaged, truncated or no HDF5 file",
            where=str(path),
            expected="an HDF5 file written by Facemap",
            found=str(error),
        ) from error
    lengths = {part: len(data) for part, data in keypoints.items()}
    if len(set(lengths.values())) > 1:
        raise SourceError(
            "the keypoints differ in length",
            where=str(path),
            expected="one sample a frame for each",
            found=", ".join(f"{part}: {length}" for part, length in lengths.items()),
        )
    return scorers[0], keypoints


def _not_facemap_error(path: Path, found: str) -> SourceError:
    return SourceError(
        "not a file of Facemap's keypoints",
        where=str(path),
        expected="<scorer>/<body part>/{x, y, likelihood}, as in <video>_FacemapPose.h5",
        found=found,
        hint="DeepLabCut's .h5 is read by DeepLabCutInterface, SLEAP's .slp by SLEAPInterface",
    )


def _node(part: str) -> str:
    return part.replace("/", "_").replace(":", "_")
