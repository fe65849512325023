"""Parameters of the processor ``caiman``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import make_validator
from nwbpipe.processors.imaging.caiman._settings import check_settings

#: The network that judges footprints: a file of CaImAn's repository.
CNN = "cnn_model.h5"


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
    settings: Annotated[dict[str, Any], make_validator(check_settings)] = Field(
        default_factory=dict,
        description="Any other parameter of CaImAn 1.12, by group as in CNMFParams, e.g. "
        "{'spatial': {'nrgthr': 0.99}}.",
    )

    @field_validator("max_shifts", "strides", "overlaps", "gSig", "gSig_filt")
    @classmethod
    def _check_positive(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            msg = f"expected two lengths of at least 1 pixel, found {value}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> CaimanParams:
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
