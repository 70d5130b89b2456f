"""How values look on a page: ages, durations, numbers, names. Pure; the filters of the templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

from fluxtrail.model.durations import duration as duration_text
from fluxtrail.model.verdict import Verdict

SHORT_SHA = 8
SHORT_DIGEST = 12
NAMED = 3
WORST_FIRST = (
    Verdict.FAILED,
    Verdict.PENDING,
    Verdict.ROLLED_BACK,
    Verdict.DEPLOYED,
    Verdict.LOST,
    Verdict.ABANDONED,
    Verdict.UNAFFECTED,
)
RANK = {verdict.value: rank for rank, verdict in enumerate(WORST_FIRST)}
_CODE = re.compile(r"`([^`]{1,200})`")


def duration(seconds: float | None) -> str:
    """`2m13s`; nothing for None."""
    return "" if seconds is None else duration_text(seconds)


def age(at: datetime | None, now: datetime) -> str:
    """`3m04s ago`, `just now`, `in 5m`; nothing for None."""
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{duration_text(seconds)} ago" if seconds > 0 else f"in {duration_text(-seconds)}"


def lasted(at: datetime, now: datetime) -> str:
    """`3m04s`: for how long it has been so; nothing less than 0 s, though clocks may disagree."""
    return duration_text(max((now - at).total_seconds(), 0.0))


def absolute(at: datetime | None) -> str:
    """`2026-11-20 10:30:05 UTC`; nothing for None."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: datetime | None) -> str:
    """For `<time datetime>`."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: float) -> str:
    """`12,345`."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 target`, `2,000 targets`, `2 are`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def words(code: str) -> str:
    """`waiting_for_dependency` as words; a reason of Flux's (`BuildFailed`) stays as it is."""
    return code.replace("_", " ")


def short_sha(sha: str | None) -> str:
    return (sha or "")[:SHORT_SHA]


def short_digest(digest: str | None) -> str:
    """`sha256:0123456789ab` of a digest."""
    algorithm, colon, rest = (digest or "").partition(":")
    return f"{algorithm}{colon}{rest[:SHORT_DIGEST]}" if colon else algorithm[:SHORT_DIGEST]


def short_revision(revision: str | None) -> str:
    """`main@sha1:0123abcd` of a revision as Flux writes it."""
    if not revision:
        return ""
    name, at, rest = revision.rpartition("@")
    algorithm, colon, sha = rest.partition(":")
    return f"{name}{at}{algorithm}:{sha[:SHORT_SHA]}" if colon else revision[:64]


def repository_name(canonical: str | None) -> str:
    """`acme/shop` of `github.com/acme/shop`: what people call it; of charts, artifacts and files the last two parts."""
    text = canonical or ""
    if "://" in text or text.startswith("file:"):
        return "/".join(text.split("/")[-2:])
    host, slash, path = text.partition("/")
    return path if slash and "." in host and path else text


def target_parts(target: str) -> tuple[str, str, str]:
    """Kind, namespace and name of `Kustomization/flux-system/apps`."""
    kind, _, rest = target.partition("/")
    namespace, _, name = rest.rpartition("/")
    return kind, namespace, name


def safe_url(url: str | None) -> str:
    """The address, if it is one that a link may lead to: http or https. What comes from commits may be anything."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""


def short_image(name: str) -> str:
    """`platform/checkout:v1` of `registry.example/acme/platform/checkout:v1@sha256:…`: what tells images apart."""
    bare = name.partition("@")[0]
    return "/".join(bare.split("/")[-2:])


def with_code(text: str) -> Markup:
    """What stands between backticks as code; everything is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def some(names: Sequence[str]) -> str:
    """`a, b, c and 9 more`."""
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} more"


def worst_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of verdicts in the order of care."""
    return dict(sorted(counts.items(), key=lambda item: RANK.get(item[0], len(RANK))))


def path_part(text: object) -> str:
    """A value as one part of a path."""
    return quote(str(text), safe="")


FILTERS = {
    "duration": duration,
    "absolute": absolute,
    "iso": iso,
    "number": number,
    "plural": plural,
    "words": words,
    "short_sha": short_sha,
    "short_digest": short_digest,
    "short_revision": short_revision,
    "repository_name": repository_name,
    "target_parts": target_parts,
    "safe_url": safe_url,
    "path_part": path_part,
    "with_code": with_code,
    "short_image": short_image,
    "some": some,
    "worst_first": worst_first,
}
