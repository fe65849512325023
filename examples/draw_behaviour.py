"""Draw each event of each trial by the outcome, and a point of the pose over the trials.

    python examples/draw_behaviour.py FILE.nwb OUT.png

Needs a file with trials, events and a pose, such as the one of `nwbpipe demo`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from nwbpipe.export import to_pandas, to_xarray


def main(file: Path, out: Path, point: str = "*Nose", by: str = "outcome") -> pd.DataFrame:
    """Return the events with the number of their trial, and write the figure."""
    tables = to_pandas(file)
    trials, events = tables["trials"], tables["events"]
    places = pd.IntervalIndex.from_arrays(trials["start_time"], trials["stop_time"], closed="both")
    events = events.assign(trial=places.get_indexer(events["timestamp"]))
    (pose,) = to_xarray(file, series=[point]).children.values()
    name = next(str(variable) for variable in pose.data_vars if not str(variable).endswith(".confidence"))
    sure = pose[name].where(pose[f"{name}.confidence"] > 0.9)
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
    inside = events[events["trial"] >= 0]
    for kind, group in inside.groupby("event_type"):
        starts = trials["start_time"].to_numpy()[group["trial"]]
        top.plot(group["timestamp"] - starts, group["trial"], "|", markersize=12, markeredgewidth=2, label=kind)
    top.set_yticks(range(len(trials)), [f"{number}: {outcome}" for number, outcome in enumerate(trials[by])])
    top.set(xlabel="time from the start of the trial (s)", ylabel=f"trial: {by}", ylim=(len(trials) - 0.5, -0.5))
    top.legend()
    for axis in ("x", "y"):
        bottom.plot(sure.time, sure.sel(axis=axis), label=axis)
    for trial in trials.itertuples():
        bottom.axvspan(trial.start_time, trial.stop_time, color="0.9", zorder=0)
    bottom.set(xlabel="time (s)", ylabel=f"{name.rpartition('.')[2].removeprefix('PoseEstimationSeries')} (pixels)")
    bottom.legend()
    figure.savefig(out, dpi=100)
    plt.close(figure)
    return events


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
