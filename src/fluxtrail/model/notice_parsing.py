"""Bodies of hooks → notices: Flux's events, gitops-connector's two bodies, Argo CD's. Pure.

Whoever posts gets told what is wrong with a body; what we do not know of it is skipped.
Source of the shapes: fluxcd/pkg apis/event/v1beta1; notification-controller (a `generic` webhook strips the prefixes of
metadata keys since 1.5, and before left them); the template in gitops-connector's README.
"""

from typing import Any

import msgspec

from fluxtrail.model import notice_reading as reading
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.notice_azure import read_azure_devops
from fluxtrail.model.notice_events import read_cdevent
from fluxtrail.model.notice_github import read_github
from fluxtrail.model.notice_gitlab import read_gitlab
from fluxtrail.model.notices import ArgoNotice, ArgoResource, FluxNotice

__all__ = [
    "read_argocd",
    "read_azure_devops",
    "read_cdevent",
    "read_flux",
    "read_github",
    "read_gitlab",
    "read_gitopsphase",
]

RESOURCES_LIMIT = 5_000
_ABSENT = msgspec.Raw(b"null")

_FLUX = "a Flux event (a Provider of type generic or generic-hmac posts it)"
_ARGO = "an Argo CD notification with commitid, phase, sync_status, health, message and resources"
_PHASE = "a Flux event, or an Argo CD notification by gitops-connector's template"


class WireInvolved(msgspec.Struct, rename="camel"):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = None


class WireFlux(msgspec.Struct, rename="camel"):
    involved_object: WireInvolved | None = None
    severity: str | None = None
    timestamp: str | None = None
    message: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    reporting_controller: str | None = None


class WireArgoHealth(msgspec.Struct):
    status: str | None = None


class WireArgoResource(msgspec.Struct):
    status: str | None = None
    health: WireArgoHealth | None = None


class WireArgo(msgspec.Struct):
    commitid: str | None = None
    phase: str | None = None
    sync_status: str | None = None
    health: str | None = None
    message: str | None = None
    resources: list[WireArgoResource | None] | None = None


class WirePhase(msgspec.Struct):
    """What tells the two bodies of gitops-connector apart."""

    involved_object: msgspec.Raw = msgspec.field(default=_ABSENT, name="involvedObject")
    commitid: msgspec.Raw = _ABSENT


_flux = msgspec.json.Decoder(WireFlux)
_argo = msgspec.json.Decoder(WireArgo)
_phase = msgspec.json.Decoder(WirePhase)


def read_flux(body: bytes) -> FluxNotice:
    """Return the event of a Flux controller, as notification-controller posts it.

    Raises:
        WireError: no JSON, a field of another type, or no `involvedObject.kind` or `.name`.
    """
    notice = _read_flux(body)
    if not notice.name:
        raise reading.refuse("involvedObject.name", notice.name, f"it must name the object; post {_FLUX}")
    return notice


def read_argocd(body: bytes) -> ArgoNotice:
    """Return a notification of Argo CD, written by the template that gitops-connector documents.

    Raises:
        WireError: no JSON, a field of another type, or no `commitid`.
    """
    wire = reading.decode(body, _argo, what=_ARGO)
    commit = reading.name(wire.commitid)
    if not commit:
        raise reading.refuse("commitid", wire.commitid, f"it must be the synced revision; post {_ARGO}")
    return ArgoNotice(
        commit=commit,
        phase=reading.name(wire.phase),
        sync_status=reading.name(wire.sync_status),
        health=reading.name(wire.health),
        message=reading.message(wire.message),
        resources=tuple(_resource(item) for item in (wire.resources or [])[:RESOURCES_LIMIT]),
    )


def read_gitopsphase(body: bytes) -> FluxNotice | ArgoNotice:
    """Return what gitops-connector takes at `/gitopsphase`: its two bodies are told apart by their fields.

    It reads of a Flux event the kind, the reason, the message and the metadata; a name is not asked for.

    Raises:
        WireError: neither of them.
    """
    peek = reading.decode(body, _phase, what=_PHASE)
    if peek.involved_object != _ABSENT:
        return _read_flux(body)
    if peek.commitid != _ABSENT:
        return read_argocd(body)
    raise reading.refuse("involvedObject", None, f"neither it nor commitid is there; post {_PHASE}")


def _read_flux(body: bytes) -> FluxNotice:
    wire = reading.decode(body, _flux, what=_FLUX)
    involved = wire.involved_object or WireInvolved()
    kind = reading.name(involved.kind)
    if not kind:
        raise reading.refuse("involvedObject.kind", involved.kind, f"it must be the object's kind; post {_FLUX}")
    return FluxNotice(
        kind=kind,
        namespace=reading.name(involved.namespace),
        name=reading.name(involved.name),
        uid=reading.name(involved.uid),
        api_version=reading.name(involved.api_version),
        severity=reading.name(wire.severity),
        reason=reading.name(wire.reason),
        message=reading.message(wire.message),
        metadata=reading.metadata(wire.metadata),
        at=parse_timestamp(wire.timestamp),
        controller=reading.name(wire.reporting_controller),
    )


def _resource(wire: WireArgoResource | None) -> ArgoResource:
    if wire is None:
        return ArgoResource()
    return ArgoResource(
        status=reading.name(wire.status), health=reading.name(wire.health.status if wire.health else None)
    )
