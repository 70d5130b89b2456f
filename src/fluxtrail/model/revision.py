"""What Flux says it fetched or applied, parsed: `main@sha1:…`, `v1.2@sha256:…`, and the older forms.

Source: fluxcd/pkg git/utils.go (TransformRevision and the forms in its comments), source-controller's
reconcilers, RFC-0005; tabled in docs/concepts.md.
"""

import hashlib
import re
from enum import StrEnum

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import redact

_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_LENGTHS = {"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}
_CHART_VERSION = re.compile(r"v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?(\+(?P<suffix>[0-9A-Za-z.-]+))?\Z")
_LONGEST = 1024


class RevisionKind(StrEnum):
    COMMIT = "commit"
    """A git commit: `hash` is its sha."""
    DIGEST = "digest"
    """The digest of an artifact: an OCI manifest, a bucket's index, a Helm index."""
    CHART = "chart"
    """A chart version: `pointer` is the version, `hash` the source's hex digits after `+`, where it has them."""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed revision. `text` is what Flux wrote, and what `str()` gives back."""

    text: str
    kind: RevisionKind
    pointer: str | None
    """Branch, tag, absolute ref or chart version; None where Flux gave none."""
    algorithm: str | None
    """`sha1`, `sha256`, …; None for charts."""
    hash: str
    """Lower-case hex; empty for a chart from a Helm repository."""

    def __str__(self) -> str:
        return self.text

    @property
    def commit_sha(self) -> str | None:
        """The git commit, or None where the revision names none (or only the beginning of one)."""
        is_whole = self.kind is RevisionKind.COMMIT and is_sha(self.hash)
        return self.hash if is_whole else None

    @property
    def short(self) -> str:
        """As Flux's own commands print it: `main@sha1:5394cb7f`."""
        if self.kind is RevisionKind.CHART:
            return self.text
        prefix = f"{self.pointer}@" if self.pointer else ""
        return f"{prefix}{self.algorithm}:{self.hash[:8]}"

    def same_content(self, other: "Revision | None") -> bool:
        """True if both name the same content, whatever pointer led to it and in whichever form it was written."""
        if other is None:
            return False
        if self.kind is RevisionKind.CHART or other.kind is RevisionKind.CHART:
            return self.text == other.text
        return self.hash == other.hash


def parse_revision(text: str) -> Revision:
    """Parse any form that Flux writes or wrote.

    Raises:
        WireError: none of the known forms; the message names the value and the forms.
    """
    cleaned = text.strip()
    if not cleaned or len(cleaned) > _LONGEST:
        raise _unknown(text)
    return _parse_digest_form(cleaned) or _parse_legacy_form(cleaned) or _parse_chart_form(cleaned) or _fail(text)


def find_revision(text: str | None) -> Revision | None:
    """Return the parsed revision, or None for nothing or an unknown form."""
    if not text:
        return None
    try:
        return parse_revision(text)
    except WireError:
        return None


def short_revision(text: str) -> str:
    """Return a revision as Flux's own commands print it: `latest@sha256:9f86d081`; an unknown form as it is."""
    parsed = find_revision(text)
    return parsed.short if parsed is not None else text


def same_content(left: str | None, right: str | None) -> bool:
    """True if two revisions as Flux wrote them name the same content. Unknown forms are compared as text."""
    if left is None or right is None:
        return left is right
    if left == right:
        return True
    parsed = find_revision(left)
    return parsed is not None and parsed.same_content(find_revision(right))


def followed_sha(revision: str | None, origin: str | None = None) -> str | None:
    """Return what a revision is followed as: the commit it was made from, its own commit, or the artifact itself.

    Args:
        origin: the revision of the source that the artifact was made from, where its maker said so.
    """
    for text in (origin, revision):
        parsed = find_revision(text)
        if parsed is not None and parsed.commit_sha:
            return parsed.commit_sha
    parsed = find_revision(revision)
    return parsed.hash if parsed is not None and parsed.kind is RevisionKind.DIGEST else None


def version_sha(revision: str | None) -> str | None:
    """Return what a chart's version is followed as in its repository: 64 hex digits made of the version itself.

    Helm takes a version for its content: a chart that was published again under the same version is not released anew.
    """
    parsed = find_revision(revision)
    if parsed is None or parsed.kind is not RevisionKind.CHART:
        return None
    return hashlib.sha256(f"chart {parsed.text}".encode()).hexdigest()


def _parse_digest_form(text: str) -> Revision | None:
    """`[pointer@]algorithm:hex`. A SHA-256 git repository gives `main@<unknown>:<64 hex>`."""
    head, colon, digest = text.rpartition(":")
    if not colon or not _HEX.match(digest):
        return None
    pointer, at, algorithm = head.rpartition("@")
    if at and not pointer:
        return None
    digest = digest.lower()
    if algorithm == "<unknown>":
        if len(digest) != 64:
            return None
        return Revision(text=text, kind=RevisionKind.COMMIT, pointer=pointer or None, algorithm="sha256", hash=digest)
    if algorithm not in _LENGTHS or not _is_plausible(algorithm, digest):
        return None
    kind = RevisionKind.COMMIT if algorithm == "sha1" else RevisionKind.DIGEST
    return Revision(text=text, kind=kind, pointer=pointer or None, algorithm=algorithm, hash=digest)


def _is_plausible(algorithm: str, digest: str) -> bool:
    """A digest has its algorithm's length; a git sha may be abbreviated (`main@sha1:abcdef123456`)."""
    return len(digest) == _LENGTHS[algorithm] or (algorithm == "sha1" and 7 <= len(digest) <= 40)


def _parse_legacy_form(text: str) -> Revision | None:
    """`<branch>/<40 hex>`, `HEAD/<40 hex>` or bare hex, as before Flux 2.0."""
    pointer, slash, digest = text.rpartition("/")
    if not _HEX.match(digest) or len(digest) not in (40, 64) or (slash and not pointer):
        return None
    kind = RevisionKind.COMMIT if len(digest) == 40 or slash else RevisionKind.DIGEST
    return Revision(
        text=text,
        kind=kind,
        pointer=None if pointer in ("", "HEAD") else pointer,
        algorithm="sha1" if len(digest) == 40 else "sha256",
        hash=digest.lower(),
    )


def _parse_chart_form(text: str) -> Revision | None:
    """`6.5.3`, `6.5.3+<12 hex>` (strategy Revision, or an OCI chart's digest)."""
    match = _CHART_VERSION.match(text)
    if match is None:
        return None
    suffix = match.group("suffix") or ""
    digits = suffix.split(".", 1)[0].lower()
    return Revision(
        text=text,
        kind=RevisionKind.CHART,
        pointer=text.partition("+")[0],
        algorithm=None,
        hash=digits if len(digits) >= 7 and _HEX.match(digits) else "",
    )


def _fail(text: str) -> Revision:
    raise _unknown(text)


def _unknown(text: str) -> WireError:
    return WireError(
        f"unknown form of revision {redact(text, limit_bytes=120)!r}; known are <ref>@sha1:<hex>, sha1:<hex>, "
        "<tag>@sha256:<hex>, sha256:<hex>, <branch>/<sha>, <sha> and a chart version",
        subject="revision",
    )
