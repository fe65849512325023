"""Facemap's ``<video>_proc.npy``: motion and movie SVD, pupil, blink, running."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import FilePath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._frame_times import FrameTimesInterface
from nwbpipe.errors import ClockError
from nwbpipe.nwb_builders import FacemapResults, add_facemap_results, load_pickled_dict

_OURS = re.compile(
    r"(MotionSVD|MovieSVD|MotionSVDMasks|MovieSVDMasks|MotionEnergy)(ROI\d+)?"
    r"|PupilTracking|EyeTracking|(Blink|Running)\d*|FaceImages"
)


@interface(extra="behavior")
class FacemapInterface(FrameTimesInterface):
    """Facemap's result ``<video>_proc.npy``, one sample a frame of the video.

    Facemap (Syeda, Zhong, …, Stringer, Nature Neuroscience 2024) saves no times: give `sampling_frequency`, or
    align the source's clock with timestamps, one per frame. The file is a pickle; it is read by an unpickler that
    runs nothing.

    Parameters
    ----------
    file_path : FilePath
        Path to the ``_proc.npy`` file.
    sampling_frequency : float, optional
        Frame rate of the video in Hz.
    contiguous_videos : bool
        Where the result spans several videos one after another: whether they follow without a gap, so that one
        rate says the time of every frame. Otherwise timestamps are needed.
    metadata_key : str
        Ends the containers' names where the file holds such containers already.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file is not Facemap's, is damaged, contradicts itself, or carries code.
    """

    display_name = "Facemap"
    keywords = ("behavior", "face", "pupil", "motion SVD")
    associated_suffixes = ("_proc.npy",)
    info = "Interface for Facemap's motion SVD, pupil, blink and running signals."

    def __init__(
        self,
        file_path: FilePath,
        *,
        sampling_frequency: float | None = None,
        contiguous_videos: bool = False,
        metadata_key: str = "facemap",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            verbose=verbose,
            file_path=str(file_path),
            sampling_frequency=sampling_frequency,
            contiguous_videos=contiguous_videos,
            metadata_key=metadata_key,
        )
        self.metadata_key = metadata_key
        self._contiguous = contiguous_videos
        self.results = FacemapResults.from_proc(load_pickled_dict(Path(file_path)), where=str(file_path))
        self._use_frames(self.results.num_frames, sampling_frequency)

    def get_original_timestamps(self) -> Any:
        """Times of the frames by the sampling frequency, from 0.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            In seconds.

        Raises
        ------
        ClockError
            No sampling frequency was given, or it can't say the times of several videos.
        """
        videos = self.results.videos
        if self._sampling_frequency is not None and len(videos) > 1 and not self._contiguous:
            raise ClockError(
                "one frame rate doesn't give the times of several videos",
                where=self._where(),
                expected="one timestamp a frame, or videos that follow each other without a gap",
                found=f"{len(videos)} videos one after another: " + ", ".join("+".join(group) for group in videos),
                hint="align its clock with timestamps; if there is no gap, say contiguous_videos: true",
            )
        return super().get_original_timestamps()

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the signals to the module ``behavior``; see :func:`nwbpipe.nwb_builders.add_facemap_results`.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        module = nwbfile.processing.get("behavior")
        in_use = module is not None and any(_OURS.fullmatch(name) for name in module.data_interfaces)
        videos = ", ".join("+".join(group) for group in self.results.videos)
        add_facemap_results(
            nwbfile,
            self.results,
            times=self._times(),
            suffix=self.metadata_key if in_use else "",
            source=f"Facemap, video {videos}" if videos else "Facemap",
        )
