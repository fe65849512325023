"""The processor ``suite2p``: registration, cell detection, traces and deconvolution of a calcium movie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Loader, Params, Processor, Results
from nwbpipe.processors.imaging._segmentation_write import MOTION_CONTAINERS
from nwbpipe.processors.imaging._settings import nest_settings
from nwbpipe.processors.imaging.suite2p._params import Suite2pParams

if TYPE_CHECKING:
    from pynwb import NWBFile


SUITE2P = Tool(
    name="suite2p",
    requirements=("suite2p>=1.1,<1.2", "h5py>=3.8", "numpy"),
    python=">=3.9,<3.14",
    licence="GPL-3.0-only",
    gpu="torch",
)


class Suite2p(Processor):
    """Registration, cell detection, traces and deconvolution with suite2p.

    A volume (frames, x, y, planes) is processed plane by plane, as suite2p does; all its ROIs are in one table, each
    with its plane. The input ``second_channel``, a series of the same shape, gives what suite2p calls channel 2: it
    is moved with the movie (or the movie with it), and its brightness tells which ROIs are ``red``. Fields of view
    that are series of their own (multi-ROI scans) are each a step of its own. suite2p's registration metrics are not
    computed, and ROIs are classified by its built-in classifier, never by a user's.

    Values that int16 can't hold are divided for suite2p by the smallest power of two that makes them fit (suite2p's
    own readers halve every uint16 movie); floats are scaled. What is written is in the movie's stored values again,
    and the segmentation's description says by what was divided. Frames of a single value (a closed shutter) are
    excluded from detection. A movie with NaN is refused.

    Results, in the module ``ophys``; x is an index along the second axis of the series, y one along its third:

    - ``MotionCorrectionShifts_<step>``: `TimeSeries` (frames, 2), displacement of the content (x, y) in pixels,
      positive towards larger indices; the correction is its opposite. ``MotionCorrectionBlockShifts_<step>``
      (frames, blocks, 2) holds the further displacement of each block of ``MotionCorrectionBlocks_<step>``, and
      ``MotionCorrectionQuality_<step>`` (frames, 2) the correlation with the reference and whether the frame was
      excluded. NWB's `MotionCorrection` type is not used: it demands the corrected movie, which is not kept.
    - ``SummaryImages_<step>``: mean, reference, max_projection, correlation.
    - ``ImageSegmentation_<step>`` with ``PlaneSegmentation_<step>``: pixel masks, `iscell` and shape measures.
    - ``Fluorescence_<step>`` with ``RoiResponseSeries``, ``Neuropil``, ``NeuropilCorrected``, and
      ``Deconvolved_<step>`` with ``Deconvolved``: each (frames, ROIs), at the times of the movie.

    Of a volume, shifts are (frames, planes, 2), block shifts (frames, planes, blocks, 2), images are one a plane
    (``mean_plane0``, …), and the table has a column ``plane``. With a second channel there are ``SecondChannel`` and
    ``SecondChannelNeuropil`` among the traces, the columns ``red`` and ``red_probability``, and the image
    ``mean_second_channel``. Where nothing is found the segmentation is left out; the shifts and images are there.

    References
    ----------
    Pachitariu et al. (2017), "Suite2p: beyond 10,000 neurons with standard two-photon microscopy", bioRxiv 061507.
    """

    name: ClassVar[str] = "suite2p"
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = (
        *MOTION_CONTAINERS,
        "ImageSegmentation",
        "Fluorescence",
        "Deconvolved",
    )
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y[, planes])"),
        "second_channel": Input(
            "TwoPhotonSeries", "OnePhotonSeries", doc="the movie of a structural marker", optional=True
        ),
    }
    Params: ClassVar[type[Params]] = Suite2pParams
    tool: ClassVar[Tool] = SUITE2P
    compute: ClassVar[str] = "nwbpipe.processors.imaging.suite2p._compute"
    resumable: ClassVar[bool] = True
    loader: ClassVar[Loader | None] = Loader(
        "the folder `suite2p` or `plane0` of a finished run (ops.npy, stat.npy, F.npy, Fneu.npy, …)",
        "nwbpipe.processors.imaging.suite2p._load",
    )

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie, and that of the second channel; return the movie's rate and shape."""
        from nwbpipe.processors.imaging._movie import facts_of_channels

        return {**facts_of_channels(nwbfile, context), "settings": nest_settings(context.params)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts, images, ROIs and traces."""
        from nwbpipe.processors.imaging.suite2p._write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
