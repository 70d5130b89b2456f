"""What applying would do, asked of the server by a dry run: nothing is changed by asking."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from fluxtrail.clusters.answers import FieldConflict, FieldConflictError
from fluxtrail.clusters.writing import NotServedError, Writer
from fluxtrail.gitops.apply.conflicts import explain
from fluxtrail.gitops.apply.differing import difference
from fluxtrail.gitops.apply.ordering import CRD, in_order
from fluxtrail.gitops.objects.manifests import Manifest
from fluxtrail.model.errors import FluxtrailError, NotFoundError, UpstreamError
from fluxtrail.model.observation import ObjectKey

MAX_QUESTIONS = 8
"""At one time."""


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    SAME = "unchanged"
    DELETE = "delete"
    UNKNOWN = "create later"
    """The server could not say: its namespace or its kind is made by the same application."""
    CONFLICT = "conflict"
    REFUSED = "refused"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to one object.

    Args:
        place: of the object in its file; empty for what is not in one.
        obj: as it is applied, with its namespace.
        uid: of the live object, where there is one.
        problem: why it cannot be applied, and what helps.
    """

    key: ObjectKey
    api_version: str
    place: str
    action: Action
    obj: dict[str, Any] = {}
    uid: str = ""
    diff: str = ""
    problem: str = ""
    conflicts: tuple[FieldConflict, ...] = ()

    @property
    def is_blocked(self) -> bool:
        return self.action in (Action.CONFLICT, Action.REFUSED)

    @property
    def is_change(self) -> bool:
        return self.action in (Action.CREATE, Action.CHANGE, Action.UNKNOWN, Action.DELETE)


async def plan(writer: Writer, manifests: Sequence[Manifest], *, namespace: str, force: bool) -> list[Step]:
    """Return what applying would do to each object, in the order of application. One that is refused stops no other.

    Args:
        namespace: of namespaced objects that name none.
        force: take fields that others own.

    Raises:
        AuthError: 401, nobody is known to the server. UpstreamError: it gave no answer.
    """
    ordered = in_order(manifests)
    made = _Made(ordered)
    turns = asyncio.Semaphore(MAX_QUESTIONS)

    async def ask(manifest: Manifest) -> Step:
        async with turns:
            return await _ask(writer, manifest, made, namespace=namespace, force=force)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(manifest), name=f"plan {manifest.name}") for manifest in ordered]
    except ExceptionGroup as failures:
        raise _first(failures) from failures
    return [task.result() for task in tasks]


def is_everybodys(error: FluxtrailError) -> bool:
    """Whether it would meet every other object too: the server does not answer, or does not know us."""
    return isinstance(error, UpstreamError) and error.status in (None, 401)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


class _Made:
    """What the application itself brings: namespaces and kinds."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self.namespaces = {manifest.name for manifest in manifests if manifest.kind == "Namespace"}
        self.kinds: dict[tuple[str, str], bool] = {}
        for manifest in manifests:
            if manifest.kind == CRD and isinstance(spec := manifest.data.get("spec"), dict):
                names = spec.get("names")
                kind = names.get("kind") if isinstance(names, dict) else None
                self.kinds[str(spec.get("group")), str(kind)] = spec.get("scope") == "Namespaced"


async def _ask(writer: Writer, manifest: Manifest, made: _Made, *, namespace: str, force: bool) -> Step:
    key = ObjectKey(manifest.group, manifest.kind, manifest.namespace or "", manifest.name)
    step = Step(key=key, api_version=manifest.api_version, place=manifest.place, action=Action.REFUSED)
    try:
        resource = await writer.resource(manifest.group, manifest.kind, manifest.api_version.rpartition("/")[2])
        key, obj = _placed(manifest, is_namespaced=resource.is_namespaced, namespace=namespace)
        step = msgspec.structs.replace(step, key=key, obj=obj)
        live = await writer.read(key, resource.version)
        wanted = await writer.apply(obj, force=force, dry_run=True)
    except FieldConflictError as error:
        problem = explain(error.conflicts)
        return msgspec.structs.replace(step, action=Action.CONFLICT, problem=problem, conflicts=error.conflicts)
    except NotServedError as error:
        is_namespaced = made.kinds.get((manifest.group, manifest.kind))
        if is_namespaced is None:
            return msgspec.structs.replace(step, problem=error.message)
        key, obj = _placed(manifest, is_namespaced=is_namespaced, namespace=namespace)
        return msgspec.structs.replace(step, key=key, obj=obj, action=Action.UNKNOWN, diff=_new(key, obj))
    except NotFoundError as error:
        if step.key.namespace not in made.namespaces:
            return msgspec.structs.replace(step, problem=error.message)
        return msgspec.structs.replace(step, action=Action.UNKNOWN, diff=_new(step.key, step.obj))
    except FluxtrailError as error:
        if is_everybodys(error):
            raise
        return msgspec.structs.replace(step, problem=error.message)
    return _judged(step, live, wanted)


def _judged(step: Step, live: dict[str, Any] | None, wanted: dict[str, Any]) -> Step:
    diff = difference(live, wanted, name=str(step.key))
    if live is None:
        return msgspec.structs.replace(step, action=Action.CREATE, diff=diff)
    action = Action.CHANGE if diff else Action.SAME
    return msgspec.structs.replace(step, action=action, diff=diff, uid=live["metadata"].get("uid", ""))


def _placed(manifest: Manifest, *, is_namespaced: bool, namespace: str) -> tuple[ObjectKey, dict[str, Any]]:
    """Return an object with the namespace that it goes to, and without what is not applied."""
    place = (manifest.namespace or namespace) if is_namespaced else ""
    metadata = {key: value for key, value in manifest.data["metadata"].items() if key not in _NOT_APPLIED}
    metadata = {key: value for key, value in metadata.items() if key != "namespace"}
    if place:
        metadata["namespace"] = place
    obj = {key: value for key, value in manifest.data.items() if key != "status"} | {"metadata": metadata}
    return ObjectKey(manifest.group, manifest.kind, place, manifest.name), obj


_NOT_APPLIED = ("managedFields", "creationTimestamp", "resourceVersion", "uid", "generation", "selfLink")
"""What an object has that was taken from a server; applied, it would be refused."""


def _new(key: ObjectKey, obj: dict[str, Any]) -> str:
    return difference(None, obj, name=str(key))
