"""The processor ``extract``: EXTRACT, by MATLAB or GNU Octave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Checkout, Program, Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Loader, Params, Processor, Results
from nwbpipe.processors.imaging._settings import nest_settings
from nwbpipe.processors.imaging.extract._params import ExtractParams

if TYPE_CHECKING:
    from pynwb import NWBFile

_OCTAVE, _MATLAB = ("octave-cli", "octave"), ("matlab",)
EXTRACT = Tool(
    name="extract",
    requirements=("numpy>=1.20", "h5py>=3.8"),
    licence="MIT",
    programs=(Program("MATLAB, or GNU Octave >= 7", (*_MATLAB, *_OCTAVE)),),
    system=("octave", "octave-image", "octave-statistics", "octave-signal"),
    checkout=Checkout(
        "https://github.com/schnitzer-lab/EXTRACT-public",
        "EXTRACT/modules/extractor.m",
        ("EXTRACT/modules/extractor.m", r"info\.version = '([\d.]+)'"),
        built=False,
    ),
)
_ENGINES = {
    "octave": replace(EXTRACT, programs=(Program("GNU Octave >= 7", _OCTAVE),)),
    "matlab": replace(EXTRACT, programs=(Program("MATLAB", _MATLAB),)),
}


class Extract(Processor):
    """Cell extraction by robust estimation with EXTRACT, from the checkout that the user names.

    One plane and one channel. EXTRACT corrects no motion: `shifts` takes the rigid shifts of another step (suite2p,
    caiman or motion_correction), by which frames are moved back (bilinear) on their way in. Without them the movie
    should be still.

    Results, in the module ``ophys``; x is an index along the second axis of the series, y one along its third:

    - ``SummaryImages_<step>``: mean, max_projection, baseline, summary.
    - ``ImageSegmentation_<step>`` with ``PlaneSegmentation_<step>``: footprints as weighted pixel masks; all that
      EXTRACT returns passed its checks, so `iscell` is true.
    - ``Fluorescence_<step>`` with ``RoiResponseSeries``: weighted means over the footprints, by us. EXTRACT's own
      traces are ``DfOverF_<step>``, or ``Demixed`` in ``Fluorescence_<step>`` where it did not divide by a baseline.

    Where nothing is found the segmentation is left out; the images are there.

    References
    ----------
    Inan et al. (2021), "Fast and statistically robust cell extraction from large-scale neural calcium imaging
    datasets", bioRxiv 2021.03.24.436279.
    """

    name: ClassVar[str] = "extract"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("SummaryImages", "ImageSegmentation", "Fluorescence", "DfOverF")
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y), of one plane"),
        "shifts": Input("TimeSeries", doc="displacement (x, y) of each frame, in pixels", optional=True),
    }
    Params: ClassVar[type[Params]] = ExtractParams
    tool: ClassVar[Tool] = EXTRACT
    compute: ClassVar[str] = "nwbpipe.processors.imaging.extract._compute"
    loader: ClassVar[Loader | None] = Loader(
        "the .mat file (v7.3) with EXTRACT's `output`",
        "nwbpipe.processors.imaging.extract._load",
    )

    def tool_for(self, params: Any) -> Tool:
        """Return EXTRACT with the engine that is asked for."""
        return _ENGINES.get(params.engine, EXTRACT)

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie and the shifts; return the movie's rate and shape."""
        from nwbpipe.processors.imaging._movie import one_plane_facts

        facts = one_plane_facts(context.input(nwbfile, "movie"), context.inputs["movie"].path)
        if "shifts" in context.inputs:
            shifts = context.input(nwbfile, "shifts")
            expected = (facts["shape"][0], 2)
            if tuple(shifts.data.shape) != expected or shifts.unit != "pixels":
                msg = "the shifts are not those of this movie"
                raise InputError(
                    msg,
                    where=context.inputs["shifts"].path,
                    expected=f"{expected} in pixels",
                    found=f"{tuple(shifts.data.shape)} in {shifts.unit}",
                    hint="bind the MotionCorrectionShifts of a step that ran on the same movie",
                )
        return {**facts, "settings": nest_settings(context.params)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write images, cells and traces."""
        from nwbpipe.processors.imaging.extract._write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
