"""All of Flux's objects of a cluster, kept up by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource
from fluxtrail.clusters.listing import list_pages
from fluxtrail.clusters.served import served_kinds
from fluxtrail.clusters.subjects import Subject
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.gitops.status.objects import Reconciled, WireObject, project
from fluxtrail.model.errors import AuthError, NotFoundError
from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUPS = (
    "source.toolkit.fluxcd.io",
    "kustomize.toolkit.fluxcd.io",
    "helm.toolkit.fluxcd.io",
    "notification.toolkit.fluxcd.io",
    "image.toolkit.fluxcd.io",
    "source.extensions.fluxcd.io",
)
PAGE_LIMIT = 500
PAGE_LIMIT_BYTES = 64 * 1024 * 1024


class Board:
    """What is known of a cluster's Flux objects now. `changed` is set whenever something new came."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Reconciled] = {}
        self.pending: set[str] = set()
        """Kinds whose first list is not here yet."""
        self.problems: dict[str, str] = {}
        """By kind, why it cannot be read."""
        self.listed: dict[str, bool] = {}
        """By kind, whether all objects of all namespaces are known."""
        self.changed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        return not self.pending

    async def take(self, kind: str, batch: Sequence[Observation[Reconciled]]) -> None:
        for each in batch:
            match each:
                case Seen(key=key, object=one):
                    self.objects[key] = one
                case Gone(key=key):
                    self.objects.pop(key, None)
                case Listed():
                    self.pending.discard(kind)
                    self.problems.pop(kind, None)
                case Unavailable(message=message):
                    self.pending.discard(kind)
                    self.problems[kind] = message
        self.changed.set()


async def flux_kinds(connection: Connection) -> list[Resource]:
    """Return each of Flux's kinds that is served, at the version that the server prefers.

    Raises:
        NotFoundError: none of them. UpstreamError: the server could not say.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(served_kinds(connection, group), name=f"kinds of {group}") for group in GROUPS]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    found: dict[tuple[str, str], Resource] = {}
    for task in asked:
        for resource in task.result():
            found.setdefault((resource.group, resource.kind), resource)
    if not found:
        raise NotFoundError("the cluster serves none of Flux's kinds; `fluxtrail gitops install` installs it")
    return list(found.values())


async def read_board(connection: Connection, *, namespaces: Sequence[str] = ()) -> Board:
    """Return all objects as they are now, by one list each.

    Raises:
        AuthError: 401. UpstreamError: no answer. What is merely forbidden is told as a problem.
    """
    board = Board()
    try:
        async with asyncio.TaskGroup() as group:
            for resource in await flux_kinds(connection):
                group.create_task(_read(connection, resource, namespaces, board), name=f"list {resource.kind}")
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return board


async def _read(connection: Connection, resource: Resource, namespaces: Sequence[str], board: Board) -> None:
    board.listed[resource.kind] = not namespaces
    for namespace in namespaces or (None,):
        try:
            await _list(connection, resource, namespace, board)
        except AuthError as error:
            if error.status == 401:
                raise
            board.listed[resource.kind] = False
            board.problems[resource.kind] = error.message


async def _list(connection: Connection, resource: Resource, namespace: str | None, board: Board) -> None:
    path = resource.path(namespace)
    async for page in list_pages(connection, path, {}, limit=PAGE_LIMIT, limit_bytes=PAGE_LIMIT_BYTES):
        for raw in page.items or ():
            try:
                wire = msgspec.json.decode(raw, type=WireObject)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                board.problems[resource.kind] = "an object of it could not be read"
                continue
            one = project(wire, group=resource.group, kind=resource.kind)
            board.objects[one.key] = one


@asynccontextmanager
async def watched_board(connection: Connection, *, namespaces: Sequence[str] = ()) -> AsyncIterator[Board]:
    """Yield a board that is kept up while the block runs."""
    board = Board()
    resources = await flux_kinds(connection)
    board.pending = {resource.kind for resource in resources}
    board.listed = {resource.kind: not namespaces for resource in resources}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_watch(connection, resource, tuple(namespaces), board), name=f"watch {resource.kind}")
            for resource in resources
        ]
        try:
            yield board
        finally:
            for task in tasks:
                task.cancel()


async def _watch(connection: Connection, resource: Resource, namespaces: tuple[str, ...], board: Board) -> None:
    subject: Subject[Any] = Subject(
        group=resource.group,
        kind=resource.kind,
        versions=(resource.version,),
        wire=WireObject,
        project=partial(project, group=resource.group, kind=resource.kind),
        namespaces=namespaces,
    )
    await Watcher(connection, subject).run(partial(board.take, resource.kind))
