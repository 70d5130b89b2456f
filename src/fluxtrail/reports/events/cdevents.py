"""Verdicts as CDEvents in CloudEvents' structured mode. Pure.

    seen, merged      change.merged         a verdict of an earlier failure    incident.resolved
    first deployed    service.deployed      failed                             incident.detected
    deployed later    service.upgraded      rolled back                        service.rolledback

All events of a commit have one `chainId`; they link to its `change.merged`, what is resolved to what was detected.

Source: github.com/cdevents/spec v0.5.1: cloudevents-binding.md, links.md, schemas/*.json
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from fluxtrail.model.telling import TrackedCommit
from fluxtrail.reports.events.document import EventDocument
from fluxtrail.reports.events.ids import chain_id

SPEC_VERSION = "0.5.1"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
MERGED = "dev.cdevents.change.merged.0.3.0"
DEPLOYED = "dev.cdevents.service.deployed.0.3.0"
UPGRADED = "dev.cdevents.service.upgraded.0.3.0"
ROLLED_BACK = "dev.cdevents.service.rolledback.0.3.0"
DETECTED = "dev.cdevents.incident.detected.0.3.0"
RESOLVED = "dev.cdevents.incident.resolved.0.3.0"
TESTED = "dev.cdeventsx.fluxtrail-route.tested.0.1.0"
"""One of our own, as the specification allows: a test of a route."""

Json = dict[str, Any]


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What all events of a commit share."""

    source: str
    id: str
    merged: str
    """The id of the commit's `change.merged`."""


def chain_of(commit: TrackedCommit, *, source: str, merged: str) -> Chain:
    return Chain(source=source, id=chain_id(commit.repository, commit.sha), merged=merged)


def merged_event(chain: Chain, commit: TrackedCommit, document: EventDocument) -> Json:
    at = commit.merged.at if commit.merged else document.at
    content = {"repository": {"id": commit.repository}}
    return _event(chain, MERGED, chain.merged, at, subject=commit.sha, content=content, document=document)


def service_event(chain: Chain, type_: str, id_: str, document: EventDocument, *, artifact: str) -> Json:
    content = {"environment": _environment(document), "artifactId": artifact}
    return _event(
        chain,
        type_,
        id_,
        document.at,
        subject=_service(document),
        content=content,
        document=document,
        links=[_trigger(chain)],
    )


def incident_event(
    chain: Chain, type_: str, id_: str, document: EventDocument, *, artifact: str, detected: str = ""
) -> Json:
    """Return what was detected, or resolved.

    Args:
        detected: of what is resolved: the id of the event that it began with.
    """
    content = {
        "description": _description(document),
        "environment": _environment(document),
        "service": {"id": _service(document)},
        "artifactId": artifact,
    }
    sha = document.commit.sha if document.commit else ""
    links = [{"linkType": "PATH", "from": {"contextId": detected}}] if detected else [_trigger(chain)]
    return _event(
        chain,
        type_,
        id_,
        document.at,
        subject=f"{sha}/{_service(document)}",
        content=content,
        document=document,
        links=links,
    )


def tested_event(source: str, id_: str, document: EventDocument) -> Json:
    chain = Chain(source=source, id="", merged="")
    return _event(chain, TESTED, id_, document.at, subject="test", content={}, document=document)


def _event(
    chain: Chain,
    type_: str,
    id_: str,
    at: datetime,
    *,
    subject: str,
    content: Json,
    document: EventDocument,
    links: Sequence[Json] = (),
) -> Json:
    moment = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    context: Json = {
        "specversion": SPEC_VERSION,
        "id": id_,
        "source": chain.source,
        "type": type_,
        "timestamp": moment,
    }
    if chain.id:
        context["chainId"] = chain.id
    if links:
        context["links"] = list(links)
    return {
        "specversion": "1.0",
        "id": id_,
        "source": chain.source,
        "type": type_,
        "subject": subject,
        "time": moment,
        "datacontenttype": "application/json",
        "data": {
            "context": context,
            "subject": {"id": subject, "content": content},
            "customData": msgspec.to_builtins(document),
            "customDataContentType": "application/json",
        },
    }


def _trigger(chain: Chain) -> Json:
    return {"linkType": "RELATION", "linkKind": "TRIGGER", "target": {"contextId": chain.merged}}


def _environment(document: EventDocument) -> Json:
    return {"id": document.environment}


def _service(document: EventDocument) -> str:
    assert document.cluster is not None
    assert document.target is not None
    target = document.target
    return f"{document.cluster.name}/{target.kind}/{target.namespace}/{target.name}"


def _description(document: EventDocument) -> str:
    what = document.verdict.replace("_", " ")
    return ": ".join(part for part in (f"{_service(document)} {what}", document.reason, document.message) if part)
