"""Label the images of a DeepLabCut project as a person would who knows where the keypoints are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nwbpipe.simulate._body import BodyTruth, write_label_tables


def label_pose_project(folder: Path | str, truths: Mapping[str, BodyTruth], *, scorer: str = "nwbpipe") -> int:
    """Write the tables of labels of a project whose images are there, as DeepLabCut's GUI leaves them.

    Keypoints that can't be seen have no label.

    Parameters
    ----------
    folder : path
        Folder of the project, with ``labeled-data/<video>/img….png``.
    truths : mapping of str to BodyTruth
        The simulated video that the images of each folder are of; the number in an image's name is that of the frame.
    scorer : str
        Who labels, as config.yaml says.

    Returns
    -------
    int
        Number of labelled images.
    """
    count = 0
    for video, truth in truths.items():
        labels = Path(folder) / "labeled-data" / video
        names = sorted(path.name for path in labels.glob("img*.png"))
        images = {int(name.removeprefix("img").removesuffix(".png")): name for name in names}
        write_label_tables(labels, truth, images, scorer)
        count += len(images)
    return count
