"""Analog inputs of Open Ephys are in volts.

Up to 0.5, Open Ephys calls their unit uV in ``structure.oebin``, though the step is in volts; neo hands the unit on.

Upstream: https://github.com/open-ephys/plugin-GUI/issues/472 (the step is always in volts) and
https://github.com/NeuralEnsemble/python-neo/pull/1624 (volts where the file names no unit). Files that name uV
remain: this ends with a neo that reads them as volts; seen in neo 0.14.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# The steps of a 16-bit converter, and the ranges (V) that an analog input may have.
_STEPS = 2**16
_RANGES_V = (0.5, 50.0)


def correct_analog_unit(interface: Any) -> list[str]:
    """Put right the unit of the analog inputs of Open Ephys, before they are written.

    Parameters
    ----------
    interface : BaseDataInterface
        Any interface; all but Open Ephys' analog inputs are left alone.

    Returns
    -------
    list of str
        A note if the unit was corrected.
    """
    recording: Any = getattr(interface, "recording_extractor", None)
    owners = {owner.__name__ for owner in type(interface).__mro__}
    if recording is None or "OpenEphysBinaryAnalogInterface" not in owners:
        return []
    unit, gain = recording.get_property("physical_unit"), recording.get_property("gain_to_physical_unit")
    if unit is None or gain is None or not all(str(name) == "uV" for name in unit):
        return []
    if not ((gain * _STEPS >= _RANGES_V[0]) & (gain * _STEPS <= _RANGES_V[1])).all():
        return []
    recording.set_property("physical_unit", np.array(["volts"] * len(unit)))
    return ["the unit of the analog inputs is volts: Open Ephys calls it uV, with a step in volts"]
