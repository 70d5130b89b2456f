"""The refusals of an API server: `StatusError` and one constructor for each, with the wording clients match on.

Source: k8s.io/apimachinery `api/errors` describes the reasons and their codes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.simulator.apiserver.resources import ResourceDefinition

Object = dict[str, Any]


class StatusError(FluxtrailError):
    """A `Status` of kind Failure: `code` is the HTTP status, `reason` the machine-readable word.

    `metadata` carries the fresh continue token of an expired list, otherwise it is empty.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        metadata: Object | None = None,
    ) -> None:
        retry_after = (details or {}).get("retryAfterSeconds")
        super().__init__(message, retryable=code >= 500 or code == 429, retry_after_seconds=retry_after)
        self.code = code
        self.reason = reason
        self.details = details
        self.metadata = metadata or {}

    def body(self) -> Object:
        """Return the `Status` object, keys in the order of the real one."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def encode(self) -> bytes:
        return msgspec.json.encode(self.body())


def object_details(definition: ResourceDefinition, name: str) -> Object:
    details: Object = {"name": name} if name else {}
    if definition.group:
        details["group"] = definition.group
    details["kind"] = definition.plural
    return details


def not_found(definition: ResourceDefinition, name: str) -> StatusError:
    message = f'{definition.qualified} "{name}" not found'
    return StatusError(404, "NotFound", message, details=object_details(definition, name))


def already_exists(definition: ResourceDefinition, name: str) -> StatusError:
    message = f'{definition.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=object_details(definition, name))


def failed_precondition(definition: ResourceDefinition, name: str, why: str) -> StatusError:
    """Return the 409 of a delete whose preconditions do not hold; it names the kind, not the resource."""
    kind = f"{definition.kind}.{definition.group}" if definition.group else definition.kind
    details = object_details(definition, name) | {"kind": definition.kind}
    message = f'Operation cannot be fulfilled on {kind} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=details)


def conflict(definition: ResourceDefinition, name: str, why: str | None = None) -> StatusError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {definition.qualified} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=object_details(definition, name))


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, causes: list[tuple[str, str, str]]) -> StatusError:
    """Return a 422.

    Args:
        group: of the object or of the options that are wrong.
        kind: likewise.
        name: of the object; empty for options.
        causes: (reason, field, message) for each thing that is wrong.
    """
    qualified = f"{kind}.{group}" if group else kind
    texts = [f"{field}: {message}" for _, field, message in causes]
    listing = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details: Object = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [{"reason": reason, "message": text, "field": field} for reason, field, text in causes]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {listing}', details=details)


def expired(message: str, *, continue_token: str = "") -> StatusError:
    return StatusError(410, "Expired", message, metadata={"continue": continue_token} if continue_token else None)


def too_old(requested: int, oldest: int) -> StatusError:
    return expired(f"too old resource version: {requested} ({oldest})")


def too_large(requested: int, current: int) -> StatusError:
    details: Object = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {requested}, current: {current}"
    return StatusError(504, "Timeout", message, details=details)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(definition: ResourceDefinition, *, user: str, verb: str, namespace: str, name: str = "") -> StatusError:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = f'{definition.qualified} "{name}"' if name else definition.qualified
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{definition.plural}" '
        f'in API group "{definition.group}" {where}'
    )
    return StatusError(403, "Forbidden", message, details=object_details(definition, name))


def not_acceptable(message: str) -> StatusError:
    return StatusError(406, "NotAcceptable", message, details={})


def unsupported_media_type(accepted: list[str]) -> StatusError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return StatusError(415, "UnsupportedMediaType", message)


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, details={})
