"""Write a simulated dense probe as SpikeGLX does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nwbpipe.simulate._dense_probe import RATE_HZ, DenseProbeTruth
from nwbpipe.simulate._ephys import GAIN_TO_UV, RUN, SYNC_BIT, format_meta, make_probe


def write_spikeglx(folder: Path | str, truth: DenseProbeTruth, *, start_time: str = "2024-05-01T10:00:00") -> Path:
    """Write `folder`/run1_g0/run1_g0_imec0/run1_g0_t0.imec0.ap.{bin,meta}, a Neuropixels 1.0 recording.

    Parameters
    ----------
    folder : path
    truth : DenseProbeTruth
    start_time : str
        ISO 8601, without a zone, as SpikeGLX writes it.

    Returns
    -------
    Path
        Folder of the run.
    """
    run = Path(folder) / RUN
    stem = run / f"{RUN}_imec0" / f"{RUN}_t0.imec0.ap"
    stem.parent.mkdir(parents=True, exist_ok=True)
    binary = Path(f"{stem}.bin")
    n_samples, n_channels = truth.samples.shape
    words = np.zeros((n_samples, n_channels + 1), dtype="<i2")
    words[:, :-1] = np.clip(np.rint(truth.samples * (truth.gain_to_uv / GAIN_TO_UV)), -512, 511)
    step = int(RATE_HZ)
    words[:, -1] = (np.arange(n_samples) % step >= step // 2).astype("<i2") << SYNC_BIT
    words.tofile(binary)
    text = format_meta(binary, n_samples, make_probe(n_channels), start_time)
    Path(f"{stem}.meta").write_text(text, encoding="ascii")
    return run
