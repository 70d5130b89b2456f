"""One line for each action, by whomever: who, in which role, what, from where, and how it ended. Never a secret."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import Request

from fluxtrail.model.redaction import redact
from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.principals import Principal, principal_in

_NAMED = "fluxtrail.action"
_SUBJECT_LIMIT_BYTES = 200

_log = structlog.get_logger(__name__)


def name_action(request: Request[Any, Any, Any], action: str, *, subject: str = "") -> None:
    """Say what a request does, for the audit line that follows its answer; else that is its method and path.

    Args:
        action: such as `replay_reports`.
        subject: on what: ids, a route, a cluster.
    """
    request.scope[_NAMED] = (action, subject)  # type: ignore[literal-required]


def write_audit(scope: Scope | Any, status: int, *, who: Principal | None = None) -> None:
    who = who or principal_in(scope)
    action, subject = scope.get(_NAMED) or (f"{scope['method']} {scope['path']}", "")
    _log.info(
        "audit",
        who=who.name,
        role=who.role.value,
        means=who.means.value,
        action=redact(action, limit_bytes=_SUBJECT_LIMIT_BYTES),
        subject=redact(subject, limit_bytes=_SUBJECT_LIMIT_BYTES),
        address=client_address(scope),
        status=status,
    )


def client_address(scope: Scope | Any) -> str:
    """The address that the connection came from. Forwarded headers are not believed: anybody can write them."""
    found = scope.get("client")
    return str(found[0])[:64] if found else ""
