"""Create a dandiset as [publish] in nwbpipe.toml describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nwbpipe.errors import Problem, RequestError, SpecError
from nwbpipe.project import PublishSection
from nwbpipe.publish._archive import Dandiset
from nwbpipe.publish._client import ArchiveClient, check_mapping, read_field
from nwbpipe.publish._instances import Instance, check_dandiset
from nwbpipe.publish._receipts import read_receipts

if TYPE_CHECKING:
    from nwbpipe.publish._sources import UploadSources


def refuse_second_dandiset(sources: UploadSources, instance: Instance) -> None:
    """Refuse to create a dandiset that can't be described, or where the project has created one before.

    Raises
    ------
    SpecError
        If [publish] lacks what the archive asks for.
    RequestError
        If a receipt of the project says that one was created.
    """
    describe_dandiset(sources.settings)
    for receipt in read_receipts(sources.state) if sources.state is not None else ():
        if receipt.created and receipt.api == instance.api:
            msg = "this project has created a dandiset before"
            hint = f"upload to it: --dandiset {receipt.dandiset}; or remove the receipt {receipt.path} from the state"
            raise RequestError(msg, where=instance.api, found=receipt.dandiset, hint=hint)


def describe_dandiset(settings: PublishSection) -> dict[str, Any]:
    """Return the body of the call that creates a dandiset.

    Raises
    ------
    SpecError
        If [publish] lacks what the archive asks for.
    """
    problems = [
        Problem(f"the key {name!r} is missing", "[publish]", expected)
        for name, expected in (
            ("name", 'name = "…"'),
            ("description", 'description = "…"'),
            ("licence", 'licence = "CC-BY-4.0" or "CC0-1.0"'),
        )
        if getattr(settings, name) is None
    ]
    contacts = [person for person in settings.contributors if "ContactPerson" in person.roles]
    if not contacts or any(contact.email is None for contact in contacts):
        expected = '[[publish.contributors]] with name, email and roles = ["ContactPerson", "Author"]'
        problems.append(Problem("there is no contact person with an address", "[publish]", expected))
    if problems:
        hint = "see `nwbpipe init`, or docs/how-do-i-publish-on-dandi.md"
        raise SpecError("the new dandiset is not described", problems=problems, hint=hint)
    contributors = [
        {
            "schemaKey": "Person",
            "name": person.name,
            "roleName": [f"dcite:{role}" for role in person.roles],
            "includeInCitation": "Author" in person.roles,
            **({"email": person.email} if person.email else {}),
            **({"identifier": person.orcid} if person.orcid else {}),
        }
        for person in settings.contributors
    ]
    metadata = {
        "description": settings.description,
        "license": [f"spdx:{settings.licence}"],
        "contributor": contributors,
        **({"keywords": settings.keywords} if settings.keywords else {}),
    }
    return {"name": settings.name, "metadata": metadata}


def create_dandiset(client: ArchiveClient, settings: PublishSection) -> Dandiset:
    """Create a dandiset, and return its draft.

    Raises
    ------
    ArchiveError
        If the archive refuses.
    """
    embargo = "true" if settings.embargo else "false"
    body = describe_dandiset(settings)
    # Asked once: a second try could create a second one.
    values = client.call("POST", "/dandisets/", body=body, parameters={"embargo": embargo}, once=True)
    return Dandiset(check_dandiset(read_field(check_mapping(values, "/dandisets/"), "identifier", str)))
