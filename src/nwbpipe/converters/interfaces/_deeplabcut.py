"""NeuroConv's DeepLabCut interface, with guards and with times that say where they come from."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv.datainterfaces import DeepLabCutInterface as _NeuroConvInterface
from pydantic import FilePath

from nwbpipe.converters.accounts._pose_table import PoseTable, choose_individual, read_pose_table
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._frame_times import FrameTimesInterface
from nwbpipe.converters.interfaces._guards_pose import guard_deeplabcut
from nwbpipe.errors import ClockError, SourceError


@interface(extra="behavior", guard=guard_deeplabcut)
class DeepLabCutInterface(FrameTimesInterface, _NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """DeepLabCut's prediction for a video, ``.h5`` or ``.csv``; it stands in the place of NeuroConv's.

    What NeuroConv's accepts in silence is refused: a 3-D file (its z would become the confidence), labels made by
    hand, more rows than the video has frames, frame numbers that don't start at 0.

    Parameters
    ----------
    file_path : FilePath
        Path to the ``.h5`` or ``.csv``.
    config_file_path : FilePath, optional
        The project's ``config.yaml``: gives the skeleton's edges.
    subject_name : str
        Name of the individual, where the file holds several.
    sampling_frequency : float, optional
        Frame rate of the video in Hz; else timestamps are needed, one a row.
    frame_numbers : {"file", "row"}, optional
        Unit of `sampling_frequency`, where the file's frame numbers aren't 0, 1, 2, …: the frame number in
        the file, or the row.
    video_file_path : FilePath, optional
        The video, to check the rows against its frames.
    allow_fewer_rows : bool
        Accept a file of only a part of the video.
    metadata_key : str, optional
        Key of the interface's metadata; ends the containers' names where the file holds such containers already.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        A guard refused the file; `problems` says why.
    """

    def __init__(
        self,
        file_path: FilePath,
        *,
        config_file_path: FilePath | None = None,
        subject_name: str = "ind1",
        sampling_frequency: float | None = None,
        frame_numbers: Literal["file", "row"] | None = None,
        video_file_path: FilePath | None = None,
        allow_fewer_rows: bool = False,
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        checked = {
            "file_path": file_path,
            "config_file_path": config_file_path,
            "video_file_path": video_file_path,
            "allow_fewer_rows": allow_fewer_rows,
            "subject_name": subject_name,
        }
        problems = guard_deeplabcut(checked)
        if problems:
            raise SourceError("the pose file can't be used", where=str(file_path), problems=problems)
        table = read_pose_table(Path(file_path))
        assert isinstance(table, PoseTable)  # the guard has read it
        _NeuroConvInterface.__init__(
            self,
            file_path,
            config_file_path=config_file_path,
            subject_name=choose_individual(table, subject_name),
            verbose=verbose,
            metadata_key=metadata_key,
            sampling_frequency=sampling_frequency,
        )
        self._numbering = frame_numbers
        self._table = table
        self._use_frames(len(table.index), sampling_frequency)

    def get_original_timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the rows by the sampling frequency.

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            In seconds from the first frame of the video.

        Raises
        ------
        ClockError
            No sampling frequency was given, or the frame numbers are not 0, 1, 2, … and nothing says what counts.
        """
        rows = super().get_original_timestamps()
        if self._table.starts_at_zero or self._numbering == "row" or self._sampling_frequency is None:
            return rows
        if self._numbering is None:
            index = self._table.index
            raise ClockError(
                "the frame numbers of the pose file don't count from 0",
                where=self._where(),
                expected=f"0 to {len(index) - 1}",
                found=f"{index[0]} to {index[-1]} in {len(index)} rows",
                hint="align its clock with timestamps, one a row, or say frame_numbers: file (time 0 is frame 0 of "
                "the video) or frame_numbers: row (time 0 is the first row)",
            )
        return np.asarray(self._table.index, dtype=np.float64) / self._sampling_frequency

    def get_metadata(self, **options: Any) -> Any:
        """Metadata that the file gives; without the video's path and size, which ndx-pose has deprecated.

        Returns
        -------
        neuroconv.utils.DeepDict
        """
        metadata = super().get_metadata(**options)
        for entry in metadata["Pose"]["PoseEstimations"].values():
            # The path is of the machine that trained the model, and would become public with the file.
            entry.pop("original_videos", None)
            entry.pop("dimensions", None)
        return metadata

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write a ``PoseEstimation`` and its ``Skeleton`` to the module ``behavior``.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            In NeuroConv's form; default: :meth:`get_metadata`.
        """
        pose_metadata = deepcopy(metadata) if metadata is not None and "Pose" in metadata else self.get_metadata()
        module = nwbfile.processing.get("behavior")
        entry = pose_metadata["Pose"]["PoseEstimations"][self.metadata_key]
        if module is not None and entry["name"] in module.data_interfaces:
            entry["name"] = f"{entry['name']}_{self.metadata_key}"
            skeleton = pose_metadata["Pose"]["Skeletons"][self.metadata_key]
            # NeuroConv would take the other source's skeleton of that name, whatever its nodes are.
            skeleton["name"] = f"{skeleton['name']}_{self.metadata_key}"
        aligned, self._timestamps = self._timestamps, self.get_timestamps()
        try:
            _NeuroConvInterface.add_to_nwbfile(self, nwbfile, metadata=pose_metadata)
        finally:
            self._timestamps = aligned
