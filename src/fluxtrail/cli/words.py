"""How things are said in a terminal: durations, times, verdicts, reasons. No colour here, and no layout."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, tzinfo

from fluxtrail.model.durations import duration
from fluxtrail.model.views import BlockerView, DeliveryView

SHORT_SHA = 8
SHORT_DIGEST = 12

PENDING_WORDS = {
    "awaiting_export": "no export to a manifests repository names it yet",
    "awaiting_fetch": "Flux has not fetched it yet",
    "awaiting_tag": "the source follows tags, and none contains it yet",
    "awaiting_sync": "fetched; the target has not begun with it",
    "syncing": "Flux is at work on it",
    "waiting_for_dependency": "a dependency is not ready",
    "suspended": "the target is suspended",
    "source_suspended": "its source is suspended",
    "source_failing": "its source cannot be fetched",
    "scoping": "it is being found out whether this target is concerned",
}


OPEN_RUNNING = frozenset({"unread", "waiting"})
"""Of the last stage: it may still come."""


STUCK = frozenset({"blocked", "failed"})
"""States of a workload that does not get on."""


def blocker_words(blocker: BlockerView) -> str:
    """Why a workload does not run, in the cluster's words: `image_pull: Back-off pulling image …`."""
    said = ": ".join(filter(None, (blocker.cause or blocker.state, printable(blocker.message))))
    where = ", ".join(filter(None, (f"pod {blocker.pod}" if blocker.pod else "", blocker.container)))
    return f"{said} ({printable(where)})" if where else said


def is_stuck(delivery: DeliveryView) -> bool:
    """Applied, and something keeps it from running."""
    return any(blocker.state in STUCK for blocker in delivery.blockers)


def age(since: datetime | None, now: datetime) -> str:
    return duration(max((now - since).total_seconds(), 0.0)) if since is not None else "-"


def short(sha: str | None) -> str:
    return sha[:SHORT_SHA] if sha else "-"


def short_digest(digest: str | None) -> str:
    """`sha256:1d1d1d1d1d1d`."""
    algorithm, _, digits = (digest or "").partition(":")
    return f"{algorithm}:{digits[:SHORT_DIGEST]}" if digits else digest or "-"


def short_revision(text: str | None) -> str:
    """`main@sha1:5394cb7f`, as Flux's own commands print it."""
    if not text:
        return "-"
    head, colon, digest = text.rpartition(":")
    return f"{head}:{digest[:SHORT_SHA]}" if colon else text


def zone(*, is_utc: bool) -> tzinfo | None:
    """UTC, or None for the machine's own zone, as `astimezone` takes it."""
    return UTC if is_utc else None


def clock(at: datetime, near: datetime, where: tzinfo | None) -> str:
    """The time of day, with its date where that is another day than `near`'s."""
    local, other = at.astimezone(where), near.astimezone(where)
    return local.strftime("%H:%M:%S" if local.date() == other.date() else "%b %d %H:%M:%S")


def timestamp(at: datetime, where: tzinfo | None) -> str:
    return at.astimezone(where).strftime("%Y-%m-%d %H:%M:%S %Z")


def split_target(target: str) -> tuple[str, str, str]:
    """(kind, namespace, name) of `<Kind>/<namespace>/<name>`; what is missing is empty."""
    kind, namespace, name = ["", "", *target.split("/", 2)][-3:]
    return kind, namespace, name


def split_repository(repository: str) -> tuple[str, str]:
    """Return (host, path) of a canonical name: `github.com/acme/shop`, or a place of artifacts with its scheme."""
    scheme, separator, rest = repository.rpartition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}{separator}{host}", path or host


def split_image_name(name: str) -> tuple[str, str]:
    """Return (registry, path) of an image's name; one without a host is Docker Hub's."""
    first, slash, path = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return first, path
    return "docker.io", name


def pending_words(reason: str, target: str) -> str:
    """Why a delivery is pending, and the command that ends it where there is one."""
    words = PENDING_WORDS.get(reason, reason.replace("_", " ") or "no reason known")
    kind, namespace, name = split_target(target)
    if reason == "suspended" and namespace:
        return f"{words}: flux resume {kind.lower()} {name} -n {namespace}"
    return words


def export_words(evidence: str) -> str:
    """Return how an export is known."""
    return "as a pipeline says" if evidence == "stated" else f"by {evidence.replace('_', ' ')}"


def printable(text: str) -> str:
    """`text` on one line, without anything that would steer a terminal: subjects are written by anybody."""
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else "?" for c in text).strip()


def width_of(text: str) -> int:
    """Columns that `text` takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def fit(text: str, width: int) -> str:
    """Cut `text` to `width` columns, with an ellipsis where something is lost."""
    if width_of(text) <= width:
        return text
    cut = text[: max(width - 1, 0)]
    while cut and width_of(cut) > width - 1:
        cut = cut[:-1]
    return f"{cut.rstrip()}…" if width > 0 else ""
