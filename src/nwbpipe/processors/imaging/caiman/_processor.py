"""The processor ``caiman``: NoRMCorre, CNMF and CNMF-E."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Checkout, Tool, Weights
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Loader, Params, Processor, Results
from nwbpipe.processors.imaging._segmentation_write import MOTION_CONTAINERS
from nwbpipe.processors.imaging._settings import nest_settings
from nwbpipe.processors.imaging.caiman._params import CNN, CaimanParams

if TYPE_CHECKING:
    from pynwb import NWBFile

# setuptools 81 has no pkg_resources, which CaImAn imports; scipy 1.17's toeplitz breaks its noise model.
_BESIDE = ("numpy>=1.26,<2", "scipy>=1.10.1,<1.17", "setuptools<81", "h5py>=3.8")
CAIMAN = Tool(
    name="caiman",
    requirements=("caiman>=1.12,<1.13", *_BESIDE),
    python=">=3.10,<3.13",
    licence="GPL-2.0-only",
    module="caiman.source_extraction.cnmf",
    gpu="tensorflow",
    system=("build-essential", "libgl1", "libglib2.0-0"),
    conda=("caiman>=1.12,<1.13", *_BESIDE),
    # What package indexes call "caiman" is another program.
    checkout=Checkout(
        "https://github.com/flatironinstitute/CaImAn", "caiman/caimanmanager.py", ("VERSION", r"^(\S+)")
    ),
    weights=(Weights(CNN, "the folder model/ of CaImAn's repository", "use_cnn=True", required=False),),
)


class Caiman(Processor):
    """Motion correction, demixing and deconvolution with CaImAn.

    One plane and one channel: of several, each is a series and a step of its own. Components are judged by CaImAn, by
    signal-to-noise ratio and spatial consistency (and by its network where `use_cnn`): all are kept, ``iscell`` says
    which were accepted.

    Results, in the module ``ophys``; x is an index along the second axis of the series, y one along its third:

    - ``MotionCorrectionShifts_<step>``: displacement of the content (x, y) in pixels; CaImAn's own shifts are its
      opposite. Of a piecewise correction the mean over the blocks, and in ``MotionCorrectionBlockShifts_<step>``
      what each block of ``MotionCorrectionBlocks_<step>`` moves beyond that.
    - ``SummaryImages_<step>``: mean, max_projection, correlation, reference.
    - ``ImageSegmentation_<step>`` with ``PlaneSegmentation_<step>``: footprints as weighted pixel masks, `iscell`,
      `snr`, `r_value`, `noise`.
    - ``Fluorescence_<step>`` with ``RoiResponseSeries``, ``Neuropil`` (CaImAn's background), ``NeuropilCorrected``,
      ``Denoised``; ``DfOverF_<step>``; ``Deconvolved_<step>``. CNMF-E has no background that could be divided by:
      ``RoiResponseSeries``, ``Neuropil`` and ``DfOverF`` are left out.

    Where nothing is found the segmentation is left out; the shifts and images are there.

    References
    ----------
    Giovannucci et al. (2019), "CaImAn an open source tool for scalable calcium imaging data analysis", eLife
    8:e38173. Pnevmatikakis and Giovannucci (2017), "NoRMCorre", J. Neurosci. Methods 291:83. Zhou et al. (2018),
    "Efficient and accurate extraction of in vivo calcium signals from microendoscopic video data" (CNMF-E), eLife
    7:e28728.
    """

    name: ClassVar[str] = "caiman"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = (
        *MOTION_CONTAINERS,
        "ImageSegmentation",
        "Fluorescence",
        "Deconvolved",
        "DfOverF",
    )
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y), of one plane")
    }
    Params: ClassVar[type[Params]] = CaimanParams
    tool: ClassVar[Tool] = CAIMAN
    compute: ClassVar[str] = "nwbpipe.processors.imaging.caiman._compute"
    loader: ClassVar[Loader | None] = Loader(
        "the file that CaImAn's CNMF.save wrote (.hdf5)",
        "nwbpipe.processors.imaging.caiman._load",
    )

    def tool_for(self, params: Any) -> Tool:
        """Return CaImAn, with its network where that is to judge."""
        return CAIMAN.requiring(CNN) if params.use_cnn else CAIMAN

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie and that the blocks fit it; return its rate and shape."""
        from nwbpipe.processors.imaging._movie import one_plane_facts

        path = context.inputs["movie"].path
        facts = one_plane_facts(context.input(nwbfile, "movie"), path)
        params = context.params
        block = [stride + overlap for stride, overlap in zip(params.strides, params.overlaps, strict=True)]
        if params.motion == "piecewise" and any(
            size > length for size, length in zip(block, facts["shape"][1:], strict=True)
        ):
            msg = "the blocks of the piecewise motion correction are larger than the frame"
            raise InputError(
                msg,
                where=path,
                expected=f"strides + overlaps of at most {facts['shape'][1]} x {facts['shape'][2]} pixels",
                found=f"{block[0]} x {block[1]}",
                hint="smaller strides and overlaps, or motion='rigid'",
            )
        return {**facts, "settings": nest_settings(context.params)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts, images, components and traces."""
        from nwbpipe.processors.imaging.caiman._write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
