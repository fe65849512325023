"""The processor ``motion_correction``: suite2p's registration by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import field_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.imaging._segmentation_write import MOTION_CONTAINERS
from nwbpipe.processors.imaging._settings import nest_settings
from nwbpipe.processors.imaging.suite2p._params import RegistrationParams
from nwbpipe.processors.imaging.suite2p._processor import SUITE2P, Suite2p

if TYPE_CHECKING:
    from pynwb import NWBFile


class MotionCorrectionParams(RegistrationParams):
    """Parameters of ``motion_correction``: those of suite2p's registration."""

    @field_validator("settings")
    @classmethod
    def _check_registration_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        if set(value) - {"registration"}:
            msg = f"only settings of the group 'registration' act here, not {', '.join(sorted(value))}"
            raise ValueError(msg)
        return value


class MotionCorrection(Processor):
    """Motion of a movie, and its corrected mean image, by suite2p's registration (rigid and non-rigid).

    Results, in the module ``ophys``, are those of ``suite2p`` before the cells are looked for:
    ``MotionCorrectionShifts_<step>`` and its companions, and ``SummaryImages_<step>`` with mean and reference. The
    corrected movie itself is not kept: shifts and movie give it.

    References
    ----------
    Pachitariu et al. (2017), "Suite2p: beyond 10,000 neurons with standard two-photon microscopy", bioRxiv 061507.
    """

    name: ClassVar[str] = "motion_correction"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = MOTION_CONTAINERS
    inputs: ClassVar[Mapping[str, Input]] = Suite2p.inputs
    Params: ClassVar[type[Params]] = MotionCorrectionParams
    tool: ClassVar[Tool] = SUITE2P
    compute: ClassVar[str] = "nwbpipe.processors.imaging.suite2p._motion_compute"
    resumable: ClassVar[bool] = True

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie, and that of the second channel; return the movie's rate and shape."""
        from nwbpipe.processors.imaging._movie import facts_of_channels

        return {**facts_of_channels(nwbfile, context), "settings": nest_settings(context.params)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts and images."""
        from nwbpipe.processors.imaging.suite2p._write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
