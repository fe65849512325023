"""Reads the section ``devices`` of a spec, and checks what the implants say of it."""

from __future__ import annotations

from typing import Any

from nwbpipe.converters.spec._entities import DeviceSpec
from nwbpipe.converters.spec._spec_checker import SpecChecker
from nwbpipe.converters.spec._yaml import YamlMapping


def read_devices(spec: SpecChecker, subject: Any) -> dict[str, DeviceSpec]:
    """Read the devices of a spec.

    Parameters
    ----------
    spec : Checked
        Takes every mistake.
    subject : SubjectSpec or None
        None where it has mistakes of its own.

    Returns
    -------
    dict of str to DeviceSpec
    """
    devices: dict[str, DeviceSpec] = {}
    section = spec.read_section("devices", required=False)
    for name, tree in section.items():
        path = f"devices.{name}"
        if set(name) & set("/:") or not isinstance(tree, YamlMapping):
            what = "the device is no mapping, or its name can't stand in NWB"
            spec.add_problem(what, section, name, path, expected="`key: value` lines; no / or :")
        elif (device := spec.validate_model(DeviceSpec, tree, path)) is not None:
            devices[name] = device
    for index, implant in enumerate(subject.implants if subject is not None else ()):
        if implant.device is not None and implant.device not in section:
            spec.add_problem(
                f"there is no device {implant.device!r}",
                spec.tree["subject"],
                "implants",
                f"subject.implants.{index}.device",
                expected="one of devices: " + ", ".join(section),
                found=implant.device,
                hint="describe it in `devices`",
            )
    return devices
