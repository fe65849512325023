"""Give times to data with one sample a video frame, whose file holds no times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface

from nwbpipe.errors import ClockError
from nwbpipe.nwb_builders import Times, regular_times


def check_timestamps(timestamps: npt.ArrayLike, count: int, where: str, items: str) -> npt.NDArray[np.float64]:
    """Return timestamps from outside as an array, if they fit the samples that they are for.

    Raises
    ------
    ClockError
        Their number is not `count`, or they are not finite or decrease.
    """
    times = np.asarray(timestamps, dtype=np.float64)
    if times.shape != (count,):
        raise ClockError(
            f"the timestamps don't fit the {items}",
            where=where,
            expected=f"{count} timestamps, one for each of the {items}",
            found=f"{times.size}" if times.ndim == 1 else f"an array of shape {times.shape}",
            hint=f"check that the timestamps are of this recording, and whether {items} were dropped",
        )
    missing, backward = np.count_nonzero(~np.isfinite(times)), np.count_nonzero(np.diff(times) < 0)
    if missing or backward:
        raise ClockError(
            "timestamps that are not finite or that decrease",
            where=where,
            expected="finite seconds, not decreasing",
            found=f"{missing} not finite, {backward} steps back",
        )
    return times


class FrameTimesInterface(BaseTemporalAlignmentInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Base of interfaces whose file has one sample a frame and no times: rate or timestamps come from outside."""

    _num_frames: int
    _sampling_frequency: float | None = None
    _timestamps: npt.NDArray[np.float64] | None = None
    _shift = 0.0

    def _use_frames(self, num_frames: int, sampling_frequency: float | None) -> None:
        if sampling_frequency is not None and not (np.isfinite(sampling_frequency) and sampling_frequency > 0):
            raise ClockError(
                "the sampling frequency is not a rate",
                where=self._where(),
                expected="frames per second, above 0",
                found=str(sampling_frequency),
            )
        self._num_frames, self._sampling_frequency = num_frames, sampling_frequency

    def _where(self) -> str:
        return f"{type(self).__name__} {self.source_data.get('file_path', '')}"

    def get_original_timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the frames by the sampling frequency, from 0.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            In seconds.

        Raises
        ------
        ClockError
            No sampling frequency was given: the file has no times.
        """
        if self._sampling_frequency is None:
            raise ClockError(
                "the frames have no times",
                where=self._where(),
                expected="one time a frame, or a frame rate",
                found="a file that holds neither",
                hint="give args: {sampling_frequency: …}, or align its clock with timestamps (one per frame)",
            )
        return np.arange(self._num_frames) / self._sampling_frequency

    def get_timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the frames as they will be written.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            In seconds from the session's start.
        """
        if self._timestamps is not None:
            return self._timestamps
        return self.get_original_timestamps() + self._shift

    def set_aligned_timestamps(self, aligned_timestamps: npt.ArrayLike) -> None:
        """Replace the times.

        Parameters
        ----------
        aligned_timestamps : array_like of float, shape (n_frames,)
            One time a frame, in seconds from the session's start; finite and not decreasing.

        Raises
        ------
        ClockError
            Their number is not that of the frames, or they are not finite or decrease.
        """
        self._timestamps = check_timestamps(aligned_timestamps, self._num_frames, self._where(), "frames")

    def set_aligned_starting_time(self, aligned_starting_time: float) -> None:
        """Shift all times.

        Parameters
        ----------
        aligned_starting_time : float
            Seconds to add.
        """
        if self._timestamps is not None:
            self._timestamps = self._timestamps + aligned_starting_time
        else:
            self._shift += float(aligned_starting_time)

    def _times(self) -> Times:
        if self._timestamps is not None:
            return regular_times(self._timestamps)
        self.get_original_timestamps()  # refuses where there is no rate
        return Times(rate=self._sampling_frequency, starting_time=self._shift)
