"""The processor ``deeplabcut``: keypoints in a video, by a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.pose._deeplabcut_animals import ELLIPSE_POINTS
from nwbpipe.processors.pose._deeplabcut_train import DEEPLABCUT
from nwbpipe.processors.pose._poses import VIDEO, PoseParams, PoseProcessor, shorten_name

if TYPE_CHECKING:
    from pynwb import NWBFile


class DeepLabCutParams(PoseParams):
    """Parameters of ``deeplabcut``."""

    individuals: tuple[str, ...] = Field(
        (),
        description="Names of the animals in the video, with a model of several; by default the model's. Fewer than "
        "the model's, where the video shows fewer.",
    )
    tracker: Literal["ellipse", "box"] = Field(
        "ellipse",
        description="How several animals are followed from frame to frame: by the ellipse around their keypoints "
        "(three or more in a frame), or by the box.",
    )
    box_margin_px: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="How far a box reaches beyond the keypoints, in pixels."
    )
    min_tracklet_frames: int = Field(
        10, ge=3, description="Frames of the shortest piece that decides which pieces are of one animal."
    )

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is of several animals alone, where it is as by default: results of one stay the same."""
        values: dict[str, Any] = serialize(self)
        for name in ("individuals", "tracker", "box_margin_px", "min_tracklet_frames"):
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values


class DeepLabCut(PoseProcessor):
    """Keypoints of an animal, or of several, in each frame of a video, with DeepLabCut.

    The video is an `ImageSeries`: of external files, one after the other, or with its frames in the NWB file (frames,
    height, width, and 3 for RGB). Its number of frames must be the series'. The model is one of ``deeplabcut_train``,
    or one that ``deeplabcut_model`` took from DeepLabCut. A position is where the network's score is highest, however
    low that is: the likelihood is written as predicted, and nothing is masked.

    Results, in the module ``behavior``: ``PoseEstimation_<step>`` with a `PoseEstimationSeries` for each keypoint, at
    the times of the video's own frames, linked to the video and its camera; ``Skeletons_<step>``.

    A model of several animals finds at most as many in a frame as it was trained on. They are followed from frame to
    frame by DeepLabCut's tracker, and its tracklets are stitched to as many tracks as there are animals:
    ``PoseEstimation<Individual>_<step>`` for each, NaN where it was not tracked. The names are the project's, or the
    parameter `individuals`; which animal gets which is arbitrary, for the network does not tell them apart.

    References
    ----------
    Mathis et al. (2018), "DeepLabCut: markerless pose estimation of user-defined body parts with deep learning",
    Nature Neuroscience 21.
    Lauer et al. (2022), "Multi-animal pose estimation, identification and tracking with DeepLabCut",
    Nature Methods 19.
    """

    name: ClassVar[str] = "deeplabcut"
    revision: ClassVar[int] = 1
    software: ClassVar[str] = "DeepLabCut"
    confidence: ClassVar[str] = "Likelihood as predicted: the peak of DeepLabCut's score map, 0 to 1"
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": VIDEO,
        "model": Artefact("deeplabcut_train", "deeplabcut_model", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = DeepLabCutParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Return what any network needs, and of several animals their names and how they are followed."""
        facts = super().prepare(nwbfile, context)
        known, params = list(facts["model_individuals"]), context.params
        given = [name for name in ("individuals", "tracker", "box_margin_px") if name in params.model_dump()]
        if given and not known:
            msg = f"{given[0]} is for a model of several animals, and this one is of one"
            raise InputError(msg, where=context.inputs["model"].folder, hint=f"leave out {given[0]}")
        names = list(params.individuals) or known
        if (
            len(names) > len(known)
            or len(set(map(shorten_name, names))) < len(names)
            or not all(map(shorten_name, names))
        ):
            msg = "individuals: the model can't find these animals"
            expected = f"{len(known)} different names, or fewer" if known else "no names"
            raise InputError(msg, where=context.inputs["model"].folder, expected=expected, found=", ".join(names))
        if known and params.tracker == "ellipse" and len(facts["bodyparts"]) < ELLIPSE_POINTS:
            msg = "the tracker `ellipse` needs three keypoints or more"
            hint = 'tracker = "box", with box_margin_px of about half of the animal'
            found = ", ".join(facts["bodyparts"])
            raise InputError(msg, where=context.inputs["model"].folder, found=found, hint=hint)
        return {
            **facts,
            "individuals": names,
            "tracking": {name: getattr(params, name) for name in ("tracker", "box_margin_px", "min_tracklet_frames")},
        }

    def describe_model(self, results: Results, context: Context) -> str:
        """Return the backbone and the snapshot."""
        return f"backbone {results.summary['backbone']}, {results.summary['snapshot']}"
