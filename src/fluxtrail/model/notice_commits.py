"""Which commit a Flux event is about, as gitops-connector finds it, and of every kind. Pure.

Source: gitops-connector's lookups (Kustomization, GitRepository); fluxcd/pkg apis/event/v1beta1 (`GetRevision`: commit,
originRevision, revision); source-controller's message of a stored OCI artifact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fluxtrail.model.commit import is_sha
from fluxtrail.model.notices import FluxNotice

COMMIT = "commit"
ORIGIN = "originRevision"
REVISION = "revision"

_EVENT_GROUP = "event.toolkit.fluxcd.io"
_FLUX_GROUPS = ".toolkit.fluxcd.io"
_DIGESTS = frozenset({"sha256", "sha384", "sha512", "blake3"})
_ORIGIN_TOLD = re.compile(r"origin revision '([^']{1,1024})'")


def commit_of(notice: FluxNotice) -> str:
    """Return the whole sha of the git commit that an event is about; empty where it names none.

    The digest of an artifact is no commit, nor is a chart's version: a forge knows neither.
    """
    shas = (parse_revision_commit(text).lower() for text in _candidates(notice))
    return next((sha for sha in shas if is_sha(sha)), "")


def parse_revision_commit(revision: str) -> str:
    """Return the commit in a revision: after its last colon, else after its last slash.

    That is gitops-connector's rule, whatever comes of it (`:abc` is `:abc`), but for digests: those name no commit.
    """
    if revision.find(":") <= 0:
        return revision.rpartition("/")[2]
    head, _, tail = revision.rpartition(":")
    return "" if head.rpartition("@")[2] in _DIGESTS else tail


def metadata_value(notice: FluxNotice, key: str) -> str:
    """Return an entry of an event's metadata, its key stripped of its prefix (Flux 2.5 and later) or not.

    Of several prefixes the object's own group comes first, then `event.toolkit.fluxcd.io`.
    """
    metadata = notice.metadata
    group = notice.api_version.partition("/")[0]
    for full in (key, f"{group}/{key}", f"{_EVENT_GROUP}/{key}"):
        if metadata.get(full):
            return metadata[full]
    prefixed = (value for full, value in metadata.items() if full.endswith(f"{_FLUX_GROUPS}/{key}") and value)
    return next(prefixed, "")


def _candidates(notice: FluxNotice) -> Iterator[str]:
    yield metadata_value(notice, COMMIT)
    yield metadata_value(notice, ORIGIN)
    if notice.metadata.get(REVISION):
        yield notice.metadata[REVISION]
    if notice.kind == "GitRepository":  # `Fetched revision: main/<sha>`, as Flux before 2.0 told it
        yield notice.metadata.get("message", "").rpartition("/")[2]
    yield metadata_value(notice, REVISION)
    told = _ORIGIN_TOLD.search(notice.message)
    if told is not None:
        yield told[1]
