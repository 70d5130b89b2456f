"""A paged list, what of the objects it asks for, and the question how far the server is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import structlog

from fluxtrail.clusters.answers import OversizedError
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.wire import ListMeta, Page

_LEAST_PAGE_LIMIT = 4
_LONGEST_REVISION = 100
_log = structlog.get_logger(__name__)


async def list_pages(
    connection: Connection, path: str, selectors: Mapping[str, str], *, limit: int, limit_bytes: int, accept: str = ""
) -> AsyncGenerator[Page, None]:
    """Yield the pages of one consistent list, each asked for when the one before is done with.

    A page that is larger than `limit_bytes` is asked for again with fewer objects.

    Raises:
        GoneError: the continue token expired between two pages; start again.
        OversizedError: a handful of objects are larger than the bound.
        UpstreamError: and its other subclasses.
        WireError: a page is no list.
    """
    token = ""
    while True:
        params = {**selectors, "limit": str(limit)}
        if token:
            params["continue"] = token
        try:
            page = await connection.get(path, Page, params, accept=accept, limit_bytes=limit_bytes)
        except OversizedError:
            if limit <= _LEAST_PAGE_LIMIT:
                raise
            limit = max(limit // 5, _LEAST_PAGE_LIMIT)
            _log.info("page_too_large", path=path, next_limit=limit)
            continue
        yield page
        token = (page.metadata or ListMeta()).continue_token or ""
        if not token:
            return


async def newest_version(connection: Connection, path: str, selectors: Mapping[str, str], *, accept: str = "") -> str:
    """Return the resourceVersion the server's storage has reached: that of a list of one object, read consistently.

    Raises:
        UpstreamError: and its subclasses.
    """
    page = await connection.get(path, Page, {**selectors, "limit": "1"}, accept=accept)
    return (page.metadata or ListMeta()).resource_version or ""


def metadata_only(*, is_list: bool) -> str:
    """Return the `Accept` header that asks for the metadata of objects, or for them whole where that is not known.

    Source: kubernetes.io "API concepts", metadata-only fetches; client-go metadata/metadata.go.
    """
    kind = "PartialObjectMetadataList" if is_list else "PartialObjectMetadata"
    return f"application/json;as={kind};g=meta.k8s.io;v=v1,application/json"


def is_older(version: str, than: str) -> bool:
    """Whether resourceVersion `version` is certainly older than `than`.

    Both have to be decimal numbers of etcd revisions; anything else cannot be compared and is never older.
    Source: KEP-5504, comparable resource versions.
    """
    if _is_revision(version) and _is_revision(than):
        return int(version) < int(than)
    return False


def _is_revision(version: str) -> bool:
    return version.isdecimal() and len(version) <= _LONGEST_REVISION
