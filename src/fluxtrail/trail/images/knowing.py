"""What an answer of a registry, or its refusal, makes of an image's record: pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    WireError,
)
from fluxtrail.model.image import split_image
from fluxtrail.model.image_facts import ImageFacts
from fluxtrail.model.image_records import ImageRecord, ImageState
from fluxtrail.model.redaction import redact

replace = msgspec.structs.replace

PROBLEM_LIMIT = 500
SOON = timedelta(seconds=30)
"""First wait after a failure that passes by itself; each further one is twice as long."""
LATE = timedelta(hours=1)
"""First wait after an answer that probably stands: a login that is missing, an image that is gone."""
LATEST = timedelta(days=1)
ABSENT_TRIES = 6
"""How often a registry is asked about an image that it does not have: a mirror or a push may be late."""
DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


def registry_of(image: str) -> str:
    """Return the registry of an image reference, as people write it: `ghcr.io`, `registry.local:5000`.

    A name without a host is Docker Hub's.
    """
    first, slash, _ = image.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first):
        return DOCKER_HUB
    host = first.lower()
    return DOCKER_HUB if host in _DOCKER_HUB_NAMES else host


def pending_image(digest: str, image: str) -> ImageRecord:
    """Return the record of an image that nobody has asked about.

    Args:
        image: as it is wanted, with its tag.
    """
    return ImageRecord(digest=digest, repository=split_image(image).name, image=image, state=ImageState.PENDING)


def known_records(
    asked: ImageRecord, facts: ImageFacts, there: Mapping[str, ImageRecord], *, now: datetime
) -> list[ImageRecord]:
    """Return the records of an image that was described, and of its other digests: they are the same image.

    Args:
        there: what is kept of `digests_of(facts)`. What is known already stays, and learns its index.
    """
    origin = facts.origin
    known = replace(
        asked,
        state=ImageState.KNOWN,
        is_index=facts.is_index,
        index_digest=facts.index_digest,
        platform=facts.platform,
        created_at=origin.created_at,
        source=origin.source,
        revision=origin.revision,
        version=origin.version,
        problem="",
        checked_at=now,
        retry_at=None,
        tries=asked.tries + 1,
    )
    found = [known]
    index_digest = facts.digest if facts.is_index else facts.index_digest
    if index_digest is not None and index_digest != facts.digest:
        above = replace(known, digest=index_digest, is_index=bool(facts.platforms), index_digest=None)
        found.append(replace(above, platform="" if above.is_index else known.platform))
    for item in facts.platforms:
        if item.digest != facts.digest:
            sibling = replace(known, digest=item.digest, is_index=False, index_digest=index_digest)
            found.append(replace(sibling, platform=item.platform))
    return [_learn(there.get(record.digest), record) if record is not known else record for record in found]


def digests_of(facts: ImageFacts) -> list[str]:
    """Return every digest of the image that a registry told."""
    others = (facts.index_digest, *(item.digest for item in facts.platforms))
    return list(dict.fromkeys(digest for digest in (facts.digest, *others) if digest is not None))


def _learn(there: ImageRecord | None, found: ImageRecord) -> ImageRecord:
    if there is None or there.state is not ImageState.KNOWN:
        return found if there is None else replace(found, image=there.image, repository=there.repository)
    return replace(there, index_digest=there.index_digest or found.index_digest)


def refused_record(asked: ImageRecord, error: FluxtrailError, *, now: datetime) -> ImageRecord:
    """Return the record of an image that could not be described, with when to ask again (None: when told to)."""
    state, retry_at, tries = _refusal(asked, error, now)
    problem = redact(str(error), limit_bytes=PROBLEM_LIMIT)
    return replace(asked, state=state, retry_at=retry_at, tries=tries, problem=problem, checked_at=now)


def _refusal(asked: ImageRecord, error: FluxtrailError, now: datetime) -> tuple[ImageState, datetime | None, int]:
    tries = asked.tries + 1
    match error:
        case ConfigError():
            return ImageState.UNASKED, None, tries
        case AuthError():
            return ImageState.PRIVATE, now + _wait(LATE, tries), tries
        case NotFoundError():
            return ImageState.ABSENT, now + _wait(LATE, tries) if tries < ABSENT_TRIES else None, tries
        case RateLimitedError():
            # No answer about the image: it does not count as a try.
            return asked.state, now + timedelta(seconds=error.retry_after_seconds or SOON.total_seconds()), asked.tries
        case WireError():
            return ImageState.PENDING, now + LATEST, tries
        case _:
            wait = timedelta(seconds=error.retry_after_seconds or 0)
            return ImageState.PENDING, now + max(wait, _wait(SOON, tries)), tries


def _wait(first: timedelta, tries: int) -> timedelta:
    return min(LATEST, first * (1 << min(tries - 1, 20)))
