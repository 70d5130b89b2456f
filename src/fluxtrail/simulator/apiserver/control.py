"""Faults from outside: one JSON command for each method of `Faults`."""

from typing import Literal

import msgspec

from fluxtrail.model.errors import ConfigError, FluxtrailError, WireError
from fluxtrail.simulator.apiserver.faults import Faults

CONTROL_PATH = "/_simulator/faults"

FaultName = Literal[
    "end_watches",
    "expire_watches",
    "freeze_watches",
    "drop_watches",
    "oversized_line",
    "fail_requests",
    "expire_lists",
    "delay_requests",
    "drop_requests",
    "explicit_nulls",
    "malformed_object",
    "compact",
    "backup",
    "restore",
    "remove_resource",
    "serve_versions",
    "forbid_namespace",
    "permit_namespace",
    "rotate_tokens",
    "clear",
]


class FaultCommand(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /_simulator/faults`. Which fields count depends on `fault`; the others are ignored."""

    fault: FaultName
    resource: str = ""
    count: int | None = None
    verbs: tuple[str, ...] = ()
    status: int = 503
    retry_after_seconds: int | None = None
    delay_seconds: float = 1.0
    versions: tuple[str, ...] = ()
    namespace: str = ""
    tokens: dict[str, str] = {}


def run_command(faults: Faults, body: bytes) -> dict[str, int]:
    """Carry out one command; return how many open streams it struck, and how many strikes still wait.

    Raises:
        WireError: the body is no command.
        ConfigError: it names a resource that is not served.
    """
    try:
        command = msgspec.json.decode(body, type=FaultCommand)
    except msgspec.MsgspecError as exc:
        raise WireError(f"not a fault command: {exc}", subject=CONTROL_PATH) from exc
    struck = _strike_watches(faults, command)
    if struck is None:
        struck = 0
        if not _strike_requests(faults, command):
            _strike_cluster(faults, command)
    return {"struck": struck, "waiting": faults.waiting()}


def _strike_watches(faults: Faults, command: FaultCommand) -> int | None:
    actions = {
        "end_watches": faults.end_watches,
        "expire_watches": faults.expire_watches,
        "freeze_watches": faults.freeze_watches,
        "drop_watches": faults.drop_watches,
        "oversized_line": faults.oversized_line,
    }
    action = actions.get(command.fault)
    return None if action is None else action(command.resource, count=command.count)


def _strike_requests(faults: Faults, command: FaultCommand) -> bool:
    count, resource, verbs = command.count or 1, command.resource, command.verbs
    match command.fault:
        case "fail_requests":
            retry_after = command.retry_after_seconds
            faults.fail_requests(command.status, resource, verbs=verbs, count=count, retry_after_seconds=retry_after)
        case "expire_lists":
            faults.expire_lists(resource, count=count)
        case "delay_requests":
            faults.delay_requests(command.delay_seconds, resource, verbs=verbs, count=count)
        case "drop_requests":
            faults.drop_requests(resource, verbs=verbs, count=count)
        case "explicit_nulls":
            faults.explicit_nulls(resource, count=count)
        case "malformed_object":
            faults.malformed_object(resource, count=count)
        case _:
            return False
    return True


def _strike_cluster(faults: Faults, command: FaultCommand) -> None:
    match command.fault:
        case "compact":
            faults.compact(command.resource)
        case "backup":
            faults.backup()
        case "restore":
            faults.restore()
        case "remove_resource":
            faults.remove_resource(command.resource)
        case "serve_versions":
            if not command.versions:
                raise ConfigError("name at least one version", subject="versions")
            faults.serve_versions(command.resource, *command.versions)
        case "forbid_namespace":
            faults.forbid_namespace(command.namespace, resource=command.resource)
        case "permit_namespace":
            faults.permit_namespace(command.namespace, resource=command.resource)
        case "rotate_tokens":
            faults.rotate_tokens(command.tokens)
        case _:
            faults.clear()


def describe_error(error: FluxtrailError) -> dict[str, str]:
    return {"error": str(error)}
