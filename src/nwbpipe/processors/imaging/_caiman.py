"""The processor ``caiman``: NoRMCorre, CNMF and CNMF-E."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from nwbpipe.environments import Checkout, Tool, Weights
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.imaging._caiman_settings import check_settings

if TYPE_CHECKING:
    from pynwb import NWBFile

CNN = "cnn_model.h5"
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


class CaimanParams(Params):
    """Parameters of ``caiman``, by their names in CaImAn 1.12; the defaults are its own but for `p`, `use_cnn`.

    Lengths are in pixels. Where there are two, the first is along x, the second axis of the series.
    """

    decay_time: float = Field(0.4, gt=0, le=10, description="Decay time of a transient, in seconds: 0.4 for GCaMP6f.")
    motion: Literal["none", "rigid", "piecewise"] = Field(
        "rigid",
        description="Motion correction (NoRMCorre): of whole frames, or of overlapping blocks of them; 'none' takes "
        "the movie as it is.",
    )
    max_shifts: tuple[int, int] = Field((6, 6), description="Largest rigid shift (x, y), in pixels.")
    strides: tuple[int, int] = Field(
        (96, 96), description="Distance (x, y) of the blocks of a piecewise correction, in pixels."
    )
    overlaps: tuple[int, int] = Field(
        (32, 32), description="Overlap (x, y) of these blocks, in pixels: a block has strides + overlaps."
    )
    max_deviation_rigid: int = Field(
        3, ge=1, description="Largest deviation of a block's shift from its frame's, in pixels."
    )
    gSig_filt: tuple[int, int] | None = Field(  # noqa: N815 (CaImAn's name)
        None,
        description="Width (sigma) of the high-pass filter before motion is estimated, in pixels, for one-photon "
        "movies; null: no filter.",
    )
    method: Literal["cnmf", "cnmfe"] = Field(
        "cnmf", description="CNMF for two-photon movies, CNMF-E (with a ring model of the background) for one photon."
    )
    K: int | None = Field(
        30,
        ge=1,
        description="Number of components that are looked for: in each patch, or in the frame if rf is null; null, "
        "with cnmfe: as many as pass min_corr and min_pnr.",
    )
    gSig: tuple[int, int] = Field((5, 5), description="Half the size of a cell (x, y), in pixels.")  # noqa: N815
    p: Literal[0, 1, 2] = Field(
        1,
        description="Order of the autoregressive model of a transient: 1 decays at once, 2 rises first, 0 has none.",
    )
    nb: int = Field(1, ge=-2, description="Number of background components; -2 to 0: models of CNMF-E's ring.")
    rf: int | None = Field(
        None,
        ge=4,
        description="Half the size of the patches that are worked on by themselves; null: the whole frame.",
    )
    stride: int | None = Field(None, ge=0, description="Overlap of these patches, in pixels; null: half of rf.")
    ssub: int = Field(2, ge=1, description="Spatial downsampling of the initialisation.")
    tsub: int = Field(2, ge=1, description="Temporal downsampling of the initialisation.")
    merge_thr: float = Field(
        0.8, ge=0, le=1, description="Correlation above which overlapping components are merged."
    )
    min_corr: float = Field(0.85, ge=0, le=1, description="cnmfe: smallest local correlation of a seed pixel.")
    min_pnr: float = Field(20, gt=0, description="cnmfe: smallest peak-to-noise ratio of a seed pixel.")
    refit: bool = Field(True, description="cnmf: refine the components on the whole frame, with the first as start.")
    min_SNR: float = Field(2.5, ge=0, description="Signal-to-noise ratio above which a component is accepted.")  # noqa: N815
    rval_thr: float = Field(
        0.8, ge=-1, le=1, description="Correlation of footprint and data above which a component is accepted."
    )
    use_cnn: bool = Field(
        False, description=f"Judge footprints by CaImAn's network as well (its file {CNN} must be there)."
    )
    min_cnn_thr: float = Field(0.9, ge=0, le=1, description="The network's value above which one is accepted.")
    cnn_lowest: float = Field(0.1, ge=0, le=1, description="The network's value below which one is rejected.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Any other parameter of CaImAn 1.12, by group as in CNMFParams, e.g. "
        "{'spatial': {'nrgthr': 0.99}}.",
    )

    @field_validator("settings")
    @classmethod
    def _known_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        problems = check_settings(value)
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("max_shifts", "strides", "overlaps", "gSig", "gSig_filt")
    @classmethod
    def _positive(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            msg = f"expected two lengths of at least 1 pixel, found {value}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> CaimanParams:
        if self.method == "cnmf" and self.K is None:
            msg = "K is null: CNMF needs a number of components; only CNMF-E finds it by itself"
            raise ValueError(msg)
        if self.method == "cnmf" and self.nb < 1:
            msg = f"nb is {self.nb}: CNMF needs a background component; 0 and less are models of CNMF-E"
            raise ValueError(msg)
        if self.stride is not None and self.rf is None:
            msg = "stride is given without rf: there are no patches that could overlap"
            raise ValueError(msg)
        return self


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
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y), of one plane")
    }
    Params: ClassVar[type[Params]] = CaimanParams
    tool: ClassVar[Tool] = CAIMAN
    compute: ClassVar[str] = "nwbpipe.processors.imaging._caiman_compute"
    compute_parts: ClassVar[tuple[str, ...]] = ("nwbpipe.processors.imaging._caiman_store",)

    def tool_for(self, params: Any) -> Tool:
        """Return CaImAn, with its network where that is to judge."""
        return CAIMAN.requiring(CNN) if params.use_cnn else CAIMAN

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie and that the blocks fit it; return its rate and shape."""
        from nwbpipe.errors import InputError
        from nwbpipe.processors.imaging._movie import movie_facts

        path = context.inputs["movie"].path
        facts = movie_facts(context.input(nwbfile, "movie"), path)
        params = context.params
        block = [stride + overlap for stride, overlap in zip(params.strides, params.overlaps, strict=True)]
        if params.motion == "piecewise" and any(
            size > length for size, length in zip(block, facts["shape"][1:3], strict=True)
        ):
            msg = "the blocks of the piecewise motion correction are larger than the frame"
            raise InputError(
                msg,
                where=path,
                expected=f"strides + overlaps of at most {facts['shape'][1]} x {facts['shape'][2]} pixels",
                found=f"{block[0]} x {block[1]}",
                hint="smaller strides and overlaps, or motion='rigid'",
            )
        return facts

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts, images, components and traces."""
        from nwbpipe.processors.imaging._caiman_write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
