"""What a registry says of an image: which digests are the same image, and what it was built from.

Source: OCI image specification, annotations.md (`org.opencontainers.image.*`) and config.md; BuildKit and other
builders write the same names as labels of the configuration.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.redaction import redact
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import followed_sha

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"
VERSION = "org.opencontainers.image.version"
VERSION_LIMIT = 200
OLDEST_YEAR = 2000
"""Reproducible builds say that they were made in 1970 or 1980: that is no time."""


class PlatformImage(msgspec.Struct, frozen=True):
    """One platform's image of an index."""

    digest: str
    platform: str
    """`linux/arm64`; empty where the index does not say."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What an image was built from, as its maker says; None and empty where it says nothing (that is any good)."""

    source: str | None = None
    """Canonical name of the repository: `github.com/acme/shop`."""
    revision: str | None = None
    """A full commit sha."""
    version: str = ""
    created_at: datetime | None = None


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    """As it was asked for: of an index, a platform's manifest, or a configuration."""
    is_index: bool = False
    index_digest: str | None = None
    """Of a platform's manifest: an index that has it, where one was found. Of a configuration: that index, or else the
    manifest."""
    platform: str = ""
    """Of a platform's image; empty of an index."""
    platforms: tuple[PlatformImage, ...] = ()
    """Of the index, whether it was asked for or found. Attestations are none."""
    origin: Origin = Origin()


def read_origin(places: Sequence[Mapping[str, str]], *, created: datetime | None = None) -> Origin:
    """Return what annotations and labels say, from the best place to the least.

    Repository and commit are taken together: an image's own annotations and labels that it inherited from its base
    must not be mixed up.

    Args:
        created: the configuration's own time, where nobody states one.
    """
    source, revision = _built_from(places)
    stated = (parse_timestamp(place.get(CREATED)) for place in places)
    times = (moment for moment in (*stated, created) if moment is not None and moment.year >= OLDEST_YEAR)
    version = next((place[VERSION] for place in places if place.get(VERSION)), "")
    return Origin(
        source=source,
        revision=revision,
        version=redact(version, limit_bytes=VERSION_LIMIT),
        created_at=next(times, None),
    )


def _built_from(places: Sequence[Mapping[str, str]]) -> tuple[str | None, str | None]:
    for place in places:
        revision = find_commit(place.get(REVISION))
        if revision is not None:
            sources = (find_source(other.get(SOURCE)) for other in (place, *places))
            return next((source for source in sources if source is not None), None), revision
    sources = (find_source(place.get(SOURCE)) for place in places)
    return next((source for source in sources if source is not None), None), None


def find_commit(text: str | None) -> str | None:
    """Return the full sha that a revision names (`<hex>`, `main@sha1:<hex>`), or None.

    Zeros alone are git's word for no commit: a build that does not know its own writes them.
    """
    if not text:
        return None
    cleaned = text.strip().lower()
    found = cleaned if is_sha(cleaned) else followed_sha(None, text.strip())
    return found if found is not None and is_sha(found) and found.strip("0") else None


def find_source(text: str | None) -> str | None:
    """Return the canonical repository that a source names, or None. Pages within a repository lead to it."""
    if not text:
        return None
    cleaned = text.strip().partition("#")[0].partition("?")[0].partition("/-/")[0]  # GitLab's pages begin with `/-/`
    try:
        canonical = parse_repository(cleaned).canonical
    except WireError:
        return None
    return "/".join(canonical.split("/")[:3]) if canonical.startswith("github.com/") else canonical
