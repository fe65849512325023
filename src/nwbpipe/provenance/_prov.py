"""Lineage as W3C PROV-JSON: runs are activities, containers and raw files entities, tools agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nwbpipe.provenance._records import ObjectRecord, RunRecord

PREFIX = {"nwbpipe": "urn:nwbpipe:", "prov": "http://www.w3.org/ns/prov#", "xsd": "http://www.w3.org/2001/XMLSchema#"}


def build_prov(records: Sequence[RunRecord], session: str = "") -> dict[str, Any]:
    """Return the lineage of a session file's results.

    Parameters
    ----------
    records : sequence of RunRecord
        All of a file, superseded ones too.
    session : str
        Key of the session: it distinguishes its objects from those of other sessions.

    Returns
    -------
    dict
        A PROV-JSON document. Objects with the same identity are one entity.
    """
    document = merge_prov(())
    # An output's identity is known from a later run that read it.
    read = [item for record in records for item in record.inputs]
    identities = {item.object_id: item.identity for item in read if item.identity and not item.is_artefact}
    for record in records:
        run, agent = f"nwbpipe:run/{record.run_id}", f"nwbpipe:tool/{record.tool}/{record.tool_version}"
        document["activity"][run] = {
            "prov:startTime": record.started.isoformat(),
            "prov:endTime": record.ended.isoformat(),
            "nwbpipe:step": record.step,
            "nwbpipe:processor": record.processor,
            "nwbpipe:revision": record.revision,
            "nwbpipe:key": record.key,
            "nwbpipe:parameters": record.parameters_hash,
            "nwbpipe:superseded_by": record.superseded_by,
        }
        document["agent"][agent] = {"prov:type": "prov:SoftwareAgent", "nwbpipe:version": record.tool_version}
        _add_relation(document, "wasAssociatedWith", run, "prov:activity", run, "prov:agent", agent)
        for item in record.inputs:
            entity = _add_object(document, item, item.identity, session)
            _add_relation(document, "used", f"{run}/{item.name}", "prov:activity", run, "prov:entity", entity)
        for source in record.sources:
            entity = f"nwbpipe:raw/{source.get('sha256') or source.get('path')}"
            document["entity"][entity] = {f"nwbpipe:{name}": value for name, value in source.items()}
            _add_relation(
                document, "used", f"{run}/{source.get('path')}", "prov:activity", run, "prov:entity", entity
            )
        for item in record.outputs:
            entity = _add_object(document, item, identities.get(item.object_id, ""), session)
            name = f"{run}/{item.path}"
            _add_relation(document, "wasGeneratedBy", name, "prov:entity", entity, "prov:activity", run)
    return document


_KINDS = ("entity", "activity", "agent", "used", "wasGeneratedBy", "wasAssociatedWith")


def _add_object(document: dict[str, Any], item: ObjectRecord, identity: str, session: str) -> str:
    location = item.path if item.is_artefact else f"{session}{item.path}"
    entity = f"nwbpipe:object/{item.object_id or location}"
    attributes = document["entity"].setdefault(entity, {})
    attributes |= {
        "nwbpipe:path": item.path,
        "nwbpipe:neurodata_type": item.neurodata_type,
        "nwbpipe:session": session,
    }
    if identity:
        attributes["nwbpipe:identity"] = identity
    return entity


def _add_relation(
    document: dict[str, Any], kind: str, name: str, first: str, first_name: str, second: str, second_name: str
) -> None:
    document[kind][f"_:{kind}/{name}"] = {first: first_name, second: second_name}


def merge_prov(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge several documents into one."""
    merged: dict[str, Any] = {"prefix": dict(PREFIX), **{kind: {} for kind in _KINDS}}
    for document in documents:
        for kind in _KINDS:
            merged[kind] |= document[kind]
    return merged
