"""Compute module of the benchmark of videos: it decodes all frames, as those that track keypoints do."""

import av

from nwbpipe_kit.media import open_media


def compute(request, results, progress):
    count = 0
    for path in request["inputs"]["series"]["external_files"]:
        with av.open(open_media(path)) as container:
            for frame in container.decode(video=0):
                frame.to_ndarray(format="rgb24")
                count += 1
    progress(1.0, "done")
    results["mean"] = [float(count)]
    return {}
