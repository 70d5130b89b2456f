"""What the ledger keeps of images: what each digest was built from, and where it runs. As in `records.py`."""

from datetime import datetime
from enum import StrEnum

from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import Record


class ImageState(StrEnum):
    """What is known of an image by its digest."""

    PENDING = "pending"
    """Not asked yet, or asked in vain for now."""
    KNOWN = "known"
    PRIVATE = "private"
    """The registry wants a login that we do not have: flagged, not guessed."""
    UNASKED = "unasked"
    """Its registry is none that may be asked."""
    ABSENT = "absent"
    """The registry does not have it (any more)."""


class ImageRecord(Record, frozen=True, kw_only=True):
    """An image by its digest, as its registry describes it. Resolved once; a digest never changes."""

    digest: str
    """`sha256:<64 hex>` of an index, a platform's manifest, or (some runtimes) a config."""
    repository: str
    """`ghcr.io/acme/shop`: where it was pulled from."""
    image: str = ""
    """As it was wanted when it was first seen, with its tag: what leads from a platform's manifest to its index."""
    state: ImageState
    is_index: bool = False
    index_digest: str | None = None
    """Of a platform's manifest: the index it was found in; of a config: that index, or else its manifest."""
    platform: str = ""
    """`linux/arm64`; empty of an index."""
    created_at: datetime | None = None
    """`org.opencontainers.image.created`, else the config's `created`."""
    source: str | None = None
    """`org.opencontainers.image.source` as a canonical repository (`github.com/acme/shop`)."""
    revision: str | None = None
    """`org.opencontainers.image.revision`: a full commit sha."""
    version: str = ""
    """`org.opencontainers.image.version`."""
    problem: str = ""
    """Why it is not known; redacted."""
    checked_at: datetime | None = None
    retry_at: datetime | None = None
    tries: int = 0


class ImageRun(Record, frozen=True, kw_only=True):
    """That a container of a workload runs (or ran) a digest."""

    cluster: ClusterUid
    namespace: str
    kind: str
    """As records have it: `Deployment`, `Rollout.argoproj.io`."""
    workload: str
    container: str
    digest: str
    image: str
    """As wanted, with its tag."""
    since: datetime
    """When the first of its containers there started, as the node says; else when it was seen."""
    until: datetime | None = None
    """When the last of them was gone; None while it runs."""
