"""Label the images of a DeepLabCut project as a person would who knows where the keypoints are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.simulate._body import BodyTruth
from nwbpipe.simulate._common import require


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
    pandas: Any = require("pandas", "pandas")
    count = 0
    for video, truth in truths.items():
        labels = Path(folder) / "labeled-data" / video
        names = sorted(path.name for path in labels.glob("img*.png"))
        numbers = [int(name.removeprefix("img").removesuffix(".png")) for name in names]
        points = np.where(truth.visible[..., None], truth.keypoints, np.nan)[numbers]
        columns = pandas.MultiIndex.from_product(
            [[scorer], list(truth.bodyparts), ["x", "y"]], names=["scorer", "bodyparts", "coords"]
        )
        index = pandas.MultiIndex.from_tuples([("labeled-data", video, name) for name in names])
        table = pandas.DataFrame(points.reshape(len(names), -1), index=index, columns=columns)
        table.to_csv(labels / f"CollectedData_{scorer}.csv")
        table.to_hdf(labels / f"CollectedData_{scorer}.h5", key="df_with_missing", mode="w")
        count += len(names)
    return count
