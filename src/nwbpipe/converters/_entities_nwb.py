"""Write procedures, equipment, attributes and notes of a session to NWB's fields and our tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters.spec._entities import DeviceSpec, Entity, Implant, Injection, Insertion, Note, Surgery
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import SpecError

if TYPE_CHECKING:
    from pynwb import NWBFile

_DESCRIPTIONS = {
    "surgeries": "Surgeries of the subject.",
    "injections": "Injections of viruses and tracers; positive is anterior, right and dorsal of the reference.",
    "implants": "Implants of the subject; positive is anterior, right and dorsal of the reference.",
    "insertions": "Insertions of probes; positive is anterior, right and dorsal of the reference.",
    "attributes": "Attributes of the session.",
    "notes": "Notes on the session.",
}


def describe_entities(spec: SessionSpec) -> dict[str, dict[str, str]]:
    """Describe the content of the tables in words, in fields of the `NWBFile` and the `Subject`.

    Returns
    -------
    dict
        ``{"NWBFile": {"surgery": …, "virus": …, "notes": …}, "Subject": {"description": …}}``, without empty fields.
    """
    session, subject = spec.session, spec.subject
    surgery = [*(item.describe() for item in subject.surgeries), *(item.describe() for item in subject.implants)]
    virus = [item.describe() for item in subject.injections]
    notes = [note.describe() for note in session.notes] if isinstance(session.notes, list) else [session.notes or ""]
    attributes = [f"{name}: {value}" for name, value in session.attributes.items()]
    line = [f"Line: {subject.line}."] if subject.line else []
    return {
        "NWBFile": _drop_empty(
            surgery=_join_texts(session.surgery, surgery, "\n"),
            virus=_join_texts(session.virus, virus, "\n"),
            notes=_join_texts(None, [*notes, *attributes], "\n"),
        ),
        "Subject": _drop_empty(description=_join_texts(subject.description, line, " ")),
    }


def _join_texts(first: str | None, more: Sequence[str], separator: str) -> str:
    return separator.join(part for part in (first or "", *more) if part)


def _drop_empty(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def add_entities(spec: SessionSpec, nwbfile: NWBFile) -> None:
    """Add the devices and the tables to a file in memory.

    Raises
    ------
    SpecError
        A source has written a device of the same name.
    """
    _add_devices(spec, nwbfile)
    notes = spec.session.notes if isinstance(spec.session.notes, list) else []
    tables = {
        "surgeries": _make_table("surgeries", Surgery, spec.subject.surgeries),
        "injections": _make_table("injections", Injection, spec.subject.injections),
        "implants": _make_table("implants", Implant, spec.subject.implants),
        "insertions": _make_insertions(spec.insertions or {}),
        "notes": _make_table("notes", Note, notes),
        "attributes": _attributes(spec.session.attributes),
    }
    filled = {name: table for name, table in tables.items() if table is not None}
    if not filled and not spec.subject.line:
        return
    from nwbpipe.extensions import SessionDetails

    line = {"subject_line": spec.subject.line} if spec.subject.line else {}
    nwbfile.add_lab_meta_data(SessionDetails(**filled, **line))


def _add_devices(spec: SessionSpec, nwbfile: NWBFile) -> None:
    from pynwb.device import DeviceModel

    models: dict[str, Any] = dict(nwbfile.device_models or {})
    for name, device in spec.devices.items():
        if name in nwbfile.devices:
            raise SpecError(
                f"a source has written the device {name!r}",
                where=f"{spec.path}: devices.{name}",
                expected="a different name for each device",
                hint="describe the source's device in `metadata: Devices`, or give this one another name",
            )
        key = _model_name(device)
        if key and key not in models:
            number = device.model_number
            models[key] = DeviceModel(name=key, manufacturer=device.manufacturer, model_number=number)
            nwbfile.add_device_model(models[key])
        more = {"model": models[key]} if key else {}
        description = device.description
        if device.manufacturer and not key:
            description = f"{description.rstrip('.')}. Manufacturer: {device.manufacturer}."
        nwbfile.create_device(name=name, description=description, serial_number=device.serial_number, **more)


def _model_name(device: DeviceSpec) -> str | None:
    name = device.model_name or device.model_number
    return name.replace("/", "_").replace(":", "_") if name else None


def _make_table(
    name: str,
    model: type[Entity],
    items: Sequence[Entity],
    *,
    keys: tuple[str, str, list[str]] | None = None,
    leave_out: Sequence[str] = (),
) -> Any:
    """Make a table with a row for each item; fields that no item has are left out.

    `keys` are name, description and values of a column that comes first.
    """
    if not items:
        return None
    from hdmf.common import DynamicTable, VectorData

    columns = [VectorData(name=keys[0], description=keys[1], data=keys[2])] if keys else []
    for field, information in model.model_fields.items():
        values = [getattr(item, field) for item in items]
        if field in leave_out or all(value is None for value in values):
            continue
        # A field that is filled is a number or a text, by its name.
        data: Any = ["" if value is None else str(value) for value in values]
        if "_in_" in field:
            data = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        text = information.description or f"{field.replace('_', ' ')}{' (NaN: not said)' if '_in_' in field else ''}"
        # A table has a `name` itself.
        column = f"{model.__name__.lower()}_name" if field == "name" else field
        columns.append(VectorData(name=column, description=text, data=data))
    return DynamicTable(name=name, description=_DESCRIPTIONS[name], columns=columns)


def _make_insertions(insertions: Mapping[str, Insertion]) -> Any:
    """Make a table with a row for each insertion; its column `probe` is the electrode group or device."""
    return _make_table(
        "insertions",
        Insertion,
        list(insertions.values()),
        keys=("probe", "electrode group, or device, that was inserted", list(insertions)),
        leave_out=("regions",),
    )


def _attributes(attributes: dict[str, str]) -> Any:
    if not attributes:
        return None
    from hdmf.common import DynamicTable, VectorData

    names = VectorData(name="attribute", description="name of the attribute", data=list(attributes))
    values = VectorData(name="value", description="value, as text", data=list(attributes.values()))
    return DynamicTable(name="attributes", description=_DESCRIPTIONS["attributes"], columns=[names, values])
