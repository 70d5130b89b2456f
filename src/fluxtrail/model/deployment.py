"""Deployment records: which image digest runs under which deployment name, as GitHub's artifact metadata keeps it.

Source of shapes and limits: docs.github.com, REST API, "Artifact metadata".
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

import msgspec

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.image import is_digest
from fluxtrail.model.observation import ClusterUid

RecordId = NewType("RecordId", int)

SINK = "github.records"
"""What tells them."""

RISKS = ("critical-resource", "internet-exposed", "lateral-movement", "sensitive-data")
RISKS_NOTE = "runtime-risks"
"""The annotation that lists them; every other one under the prefix is a tag."""

MAX_TAGS = 5
MAX_TAG_LENGTH = 100
MAX_NAME_LENGTH = 256
MAX_VERSION_LENGTH = 100
MAX_ENVIRONMENT_LENGTH = 128

DEFAULT_TEMPLATE = "{{namespace}}/{{deploymentName}}/{{containerName}}"
PLACEHOLDERS = ("{{namespace}}", "{{deploymentName}}", "{{containerName}}")
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))

UNKNOWN_WAITS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=12),
    timedelta(days=1),
)
"""How long after each answer "unknown" an artifact is asked about again: attestations come late. The last repeats."""
UNKNOWN_LIMIT = timedelta(days=14)
"""An image that is unknown for so long was not built where GitHub attests."""


class DeploymentStatus(StrEnum):
    DEPLOYED = "deployed"
    DECOMMISSIONED = "decommissioned"


class Told(StrEnum):
    """Where a record stands with GitHub."""

    PENDING = "pending"
    """It is to be told."""
    TOLD = "told"
    UNKNOWN = "unknown"
    """GitHub knows no artifact of this digest (yet)."""
    REFUSED = "refused"
    """GitHub will not take it, or it does not fit its limits; `answer` says why."""
    SILENT = "silent"
    """There is nothing to tell: it went before GitHub ever heard of it."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is told under one deployment name. Two equal ones need not be told twice."""

    name: str
    """The image, without tag and digest."""
    digest: str
    version: str
    """The image's tag; empty without."""
    status: DeploymentStatus
    runtime_risks: tuple[str, ...] = ()
    """Sorted."""
    tags: tuple[tuple[str, str], ...] = ()


class Place(msgspec.Struct, frozen=True, order=True):
    """Where in a cluster it runs."""

    namespace: str
    kind: str
    """Of the workload: `Deployment`, `CronJob`, `Rollout`, `Pod`, …"""
    workload: str
    container: str


class KeptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment name on one cluster, as the ledger keeps it."""

    id: RecordId
    cluster: ClusterUid
    deployment_name: str
    place: Place
    content: Content
    since: datetime
    """When this digest was first seen to run there."""
    changed_at: datetime
    """When anything of the content last changed."""
    told: Told = Told.PENDING
    told_content: Content | None = None
    """What GitHub last took: what it holds now."""
    told_to: str = ""
    """Under which organisation, environments and cluster GitHub holds that; see `Destination.text`."""
    told_at: datetime | None = None
    tries: int = 0
    """How often in a row GitHub did not know the artifact."""
    unknown_since: datetime | None = None
    retry_at: datetime | None = None
    """When it is asked again."""
    answer: str = ""
    """GitHub's last refusal."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Under what GitHub keeps a cluster's records."""

    organization: str
    logical_environment: str
    physical_environment: str
    cluster: str

    @property
    def text(self) -> str:
        return "/".join((self.organization, self.logical_environment, self.physical_environment, self.cluster))


class NameTemplate:
    """Makes deployment names of places.

    Raises:
        ConfigError: the template has none of the placeholders: every container would have the same name.
    """

    def __init__(self, text: str, *, subject: str = "deployment_records.name_template (DN_TEMPLATE)") -> None:
        if not is_template(text):
            raise ConfigError(
                f"{text[:100]!r} must contain at least one placeholder of {', '.join(PLACEHOLDERS)}", subject=subject
            )
        self.text = text

    def name(self, place: Place) -> str:
        values = {
            "{{namespace}}": place.namespace,
            "{{deploymentName}}": place.workload,
            "{{containerName}}": place.container,
        }
        return _PLACEHOLDER.sub(lambda found: values[found.group()], self.text)


def is_template(text: str) -> bool:
    return _PLACEHOLDER.search(text) is not None


def read_risks(notes: Iterable[tuple[str, str]]) -> set[str]:
    """Return the risks that one object's notes state; what is none is left out."""
    stated = (value for key, value in notes if key == RISKS_NOTE)
    return {risk for value in stated for item in value.split(",") if (risk := item.strip().lower()) in RISKS}


def read_notes(chain: Iterable[Sequence[tuple[str, str]]]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return (risks, tags) of a pod and its owners, nearest first.

    Risks are united. A tag's first value wins; there are at most five, of at most 100 characters each.
    """
    risks: set[str] = set()
    tags: dict[str, str] = {}
    for notes in chain:
        risks |= read_risks(notes)
        for key, value in sorted(notes):
            if key and key != RISKS_NOTE and len(key) <= MAX_TAG_LENGTH and len(value) <= MAX_TAG_LENGTH:
                if key in tags or len(tags) >= MAX_TAGS:
                    continue
                tags[key] = value
    return tuple(sorted(risks)), tuple(sorted(tags.items()))


def report_key(cluster: ClusterUid, deployment_name: str) -> str:
    """Return the key of a record's report within SINK: a burst of changes of one name is told once."""
    return f"{cluster}/{deployment_name}"


def limit_problem(deployment_name: str, content: Content) -> str:
    """Return which of GitHub's limits a record breaks, in a sentence; empty where it fits them all."""
    if not is_digest(content.digest):
        return f"digest {content.digest[:80]!r} is not sha256 with 64 hexadecimal digits; GitHub keeps no other"
    lengths = (
        ("deployment_name", deployment_name, 1, MAX_NAME_LENGTH, "shorten deployment_records.name_template"),
        ("name", content.name, 1, MAX_NAME_LENGTH, "shorten the image's name"),
        ("version", content.version, 0, MAX_VERSION_LENGTH, "shorten the image's tag"),
    )
    for field, value, least, most, remedy in lengths:
        if not least <= len(value) <= most:
            return f"{field} {value[:80]!r} has {len(value)} characters, GitHub takes {least} to {most}; {remedy}"
    return ""


def next_try(tries: int, *, unknown_since: datetime, now: datetime) -> datetime | None:
    """Return when to ask again after `tries` answers "unknown" (1 or more); None: no more."""
    wait = UNKNOWN_WAITS[min(tries, len(UNKNOWN_WAITS)) - 1]
    return None if now + wait > unknown_since + UNKNOWN_LIMIT else now + wait


class ToldOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What GitHub said about what was sent of one record."""

    id: RecordId
    content: Content
    """What was sent; the record may have changed since."""
    told: Told
    """`pending`: it is to be told again."""
    told_to: str = ""
    """See `Destination.text`."""
    at: datetime
    retry_at: datetime | None = None
    answer: str = ""
    tries: int = 0
    unknown_since: datetime | None = None
