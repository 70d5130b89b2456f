"""The hooks listener in OpenAPI 3.1: what is posted where, and every answer. For clients, documentation and fuzzing.

It is not served: the listener has hooks only.
"""

from __future__ import annotations

from typing import Any

from fluxtrail import __version__
from fluxtrail.model.notices import Hook
from fluxtrail.web.hooks.reading import PATHS

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_TIME: dict[str, Any] = {"type": ["string", "null"], "description": "RFC 3339; what is none is passed over."}

_INVOLVED: dict[str, Any] = {
    "type": "object",
    "required": ["kind", "name"],
    "properties": {
        "kind": {"type": "string", "pattern": "^[A-Za-z]{1,63}$"},
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9.-]{0,252}$"},
        **dict.fromkeys(("namespace", "uid", "apiVersion", "resourceVersion"), _TEXT),
    },
}
_FLUX: dict[str, Any] = {
    "type": "object",
    "description": "An event as notification-controller posts it to a Provider of type generic or generic-hmac.",
    "required": ["involvedObject"],
    "properties": {
        "involvedObject": _INVOLVED,
        **dict.fromkeys(("severity", "message", "reason", "reportingController", "reportingInstance"), _TEXT),
        "timestamp": _TIME,
        "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
    },
}
_HEALTH: dict[str, Any] = {"type": ["object", "null"], "properties": {"status": _TEXT}}
_ARGO: dict[str, Any] = {
    "type": "object",
    "description": "An application of Argo CD, by the template that gitops-connector documents.",
    "required": ["commitid"],
    "properties": {
        "commitid": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
        **dict.fromkeys(("phase", "sync_status", "health", "message"), _TEXT),
        "resources": {
            "type": ["array", "null"],
            "items": {"type": ["object", "null"], "properties": {"status": _TEXT, "health": _HEALTH}},
        },
    },
}
_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A CDEvent, by itself or as the data of a CloudEvent.",
    "required": ["context"],
    "properties": {
        "context": {
            "type": "object",
            "required": ["id", "type"],
            "properties": {
                "id": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
                "type": {"type": "string", "pattern": r"^dev\.cdevents\.[a-z]+\.[a-z]+\.[0-9.]+$"},
                "source": _TEXT,
                "timestamp": _TIME,
                "chainId": _TEXT,
            },
        },
        "subject": {
            "type": ["object", "null"],
            "properties": {"id": _TEXT, "source": _TEXT, "content": {"type": ["object", "null"]}},
        },
    },
}
_REPOSITORY: dict[str, Any] = {
    "type": "object",
    "required": ["clone_url"],
    "properties": {"clone_url": {"type": "string", "pattern": r"^https://[a-z]{1,20}\.[a-z]{2,9}/[a-z]+/[a-z]+\.git$"}},
}
_GITHUB: dict[str, Any] = {
    "description": "GitHub's webhooks push and pull_request; others are taken and forgotten.",
    "anyOf": [
        {
            "type": "object",
            "required": ["ref", "repository"],
            "properties": {
                "ref": {"type": "string", "pattern": "^refs/heads/[a-z0-9-]{1,80}$"},
                **dict.fromkeys(("before", "after"), _TEXT),
                "forced": {"type": ["boolean", "null"]},
                "repository": _REPOSITORY,
            },
        },
        {
            "type": "object",
            "required": ["action", "number", "repository"],
            "properties": {
                "action": {"type": "string"},
                "number": {"type": "integer", "minimum": 1, "maximum": 2**53},
                "pull_request": {
                    "type": ["object", "null"],
                    "properties": {
                        "merged": {"type": ["boolean", "null"]},
                        "merged_at": _TIME,
                        "merge_commit_sha": _TEXT,
                        "base": {"type": ["object", "null"], "properties": {"ref": _TEXT}},
                    },
                },
                "repository": _REPOSITORY,
            },
        },
    ],
}
_PROJECT: dict[str, Any] = {
    "type": "object",
    "required": ["git_http_url"],
    "properties": {"git_http_url": _REPOSITORY["properties"]["clone_url"]},
}
_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 2**53}
_REF: dict[str, Any] = {"type": "string", "pattern": "^refs/heads/[a-z0-9-]{1,80}$"}


def _of_gitlab(kind: str, *needed: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object_kind", "project", *needed],
        "properties": {"object_kind": {"type": "string", "enum": [kind]}, "project": _PROJECT, **properties},
    }


_REQUEST: dict[str, Any] = {"type": "object", "required": ["iid"], "properties": {"iid": _NUMBER}}
_GITLAB: dict[str, Any] = {
    "description": "GitLab's webhooks of pushes, merge requests and pipelines; others are taken and forgotten.",
    "anyOf": [
        _of_gitlab("push", "ref", ref=_REF, before=_TEXT, after=_TEXT),
        _of_gitlab("merge_request", "object_attributes", object_attributes=_REQUEST),
        _of_gitlab(
            "pipeline",
            object_attributes={"type": ["object", "null"], "properties": dict.fromkeys(("sha", "status"), _TEXT)},
        ),
    ],
}
_REMOTE: dict[str, Any] = {
    "type": "object",
    "required": ["remoteUrl"],
    "properties": {"remoteUrl": {"type": "string", "pattern": r"^https://dev\.azure\.com/[a-z]+/[a-z]+/_git/[a-z]+$"}},
}
_UPDATE: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _REF, "oldObjectId": _TEXT, "newObjectId": _TEXT},
}


def _of_azure(kind: str, *needed: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["eventType", "resource"],
        "properties": {
            "eventType": {"type": "string", "enum": [kind]},
            "resource": {"type": "object", "required": list(needed), "properties": properties},
        },
    }


_AZURE_DEVOPS: dict[str, Any] = {
    "description": "Service hooks of Azure DevOps: git.push, git.pullrequest.*, build.complete and "
    "ms.vss-pipelines.run-state-changed-event; others are taken and forgotten.",
    "anyOf": [
        _of_azure(
            "git.push",
            "refUpdates",
            "repository",
            refUpdates={"type": "array", "minItems": 1, "items": _UPDATE},
            repository=_REMOTE,
        ),
        _of_azure("git.pullrequest.updated", "pullRequestId", "repository", pullRequestId=_NUMBER, repository=_REMOTE),
        _of_azure(
            "build.complete",
            "url",
            url={"type": "string", "pattern": r"^https://dev\.azure\.com/[a-z]+/[a-z]+/_apis/build/Builds/[0-9]{1,9}$"},
            sourceVersion=_TEXT,
        ),
    ],
}
_BODIES: dict[Hook, tuple[str, dict[str, Any]]] = {
    Hook.GITOPSPHASE: ("What gitops-connector takes: Flux's or Argo CD's notifications", {"anyOf": [_FLUX, _ARGO]}),
    Hook.FLUX: ("An event of Flux", _FLUX),
    Hook.CDEVENTS: ("A CDEvent", _EVENT),
    Hook.ARGOCD: ("A notification of Argo CD", _ARGO),
    Hook.GITHUB: ("A webhook of GitHub", _GITHUB),
    Hook.GITLAB: ("A webhook of GitLab", _GITLAB),
    Hook.AZURE_DEVOPS: ("A service hook of Azure DevOps", _AZURE_DEVOPS),
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["code", "title", "status", "detail"],
    "properties": {
        "code": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_REFUSALS = {
    400: "The body cannot be read; the detail names the field, and says what is expected.",
    401: "Nothing was signed, or not with a secret of a sender of this hook.",
    408: "The body did not come in time.",
    413: "The body is larger than 3 MiB.",
    415: "The body is encoded.",
    429: "Too much is posted without a signature; Retry-After says when to come again.",
    503: "The ledger cannot be written now, or too much comes at once; Retry-After says when to come again.",
}
_RETRIED = (429, 503)
_RETRY_AFTER: dict[str, Any] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}


def describe() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fluxtrail hooks", "version": __version__},
        "paths": {path: {"post": _operation(hook)} for path, hook in PATHS.items()},
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "signature": {"type": "apiKey", "in": "header", "name": "X-Signature"},
                "hubSignature": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256"},
                "gitlabToken": {"type": "apiKey", "in": "header", "name": "X-Gitlab-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"signature": []}, {"hubSignature": []}, {"gitlabToken": []}, {"bearer": []}, {"basic": []}],
    }


def _operation(hook: Hook) -> dict[str, Any]:
    summary, body = _BODIES[hook]
    success = "200" if hook is Hook.GITOPSPHASE else "202"
    operation: dict[str, Any] = {
        "operationId": hook.value,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            success: {
                "description": "It is in the ledger.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **{str(status): _refused(status, text) for status, text in _REFUSALS.items()},
        },
    }
    if hook is Hook.GITHUB:
        operation["parameters"] = [_header("X-GitHub-Event", "push", required=True), _header("X-GitHub-Delivery", "")]
    return operation


def _header(name: str, example: str, *, required: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} | ({"enum": [example, "pull_request", "ping"]} if example else {})
    return {"name": name, "in": "header", "required": required, "schema": schema}


def _refused(status: int, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return answer | ({"headers": _RETRY_AFTER} if status in _RETRIED else {})
