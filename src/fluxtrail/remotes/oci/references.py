"""Which artifact a text names: `oci://host/repository`, `host/repository:tag`, `host/repository@sha256:…`.

Source: OCI distribution specification 1.1, "Pulling manifests"; Docker's rule for names without a host.
"""

import re
from urllib.parse import urlsplit

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import redact
from fluxtrail.model.repository import RepositoryUrl

ACCEPTED_FORMS = "oci://host/repository, host/repository:tag, host/repository@sha256:<64 hex digits>"
REFERENCE_LIMIT = 1024
DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DOCKER_HUB_API = "registry-1.docker.io"

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128}")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed reference. `str()` writes it with its digest where it has one, else with its tag."""

    registry: str
    """Host and port as people write them, in lower case; `docker.io` for all of Docker Hub's names."""
    repository: str
    tag: str | None = None
    digest: str | None = None
    """`sha256:` and 64 lower-case hex digits (or sha512 and 128)."""

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}"
        if self.digest:
            return f"{name}@{self.digest}"
        return f"{name}:{self.tag}" if self.tag else name

    @property
    def api_host(self) -> str:
        """Host and port that answer its calls."""
        return _DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    def repository_url(self, *, insecure: bool = False) -> RepositoryUrl:
        """The repository as the allow-list knows it."""
        parts = urlsplit(f"//{self.registry}")
        host, scheme = parts.hostname or "", "http" if insecure else "https"
        port = None if parts.port == {"https": 443, "http": 80}[scheme] else parts.port
        shown = f"[{host}]" if ":" in host else host
        return RepositoryUrl(
            scheme=scheme,
            host=host,
            port=port,
            path=self.repository,
            canonical=f"{shown}/{self.repository}",
            fetch_url=f"{scheme}://{self.registry}/{self.repository}",
        )


def parse_reference(text: str) -> Reference:
    """Return what `text` names. Without a host it is Docker Hub's, unless it begins with `oci://`.

    Raises:
        WireError: it is none of the accepted forms; the message holds the value and the forms.
    """
    stripped = text.strip()
    name = stripped.removeprefix("oci://")
    if not name or len(name) > REFERENCE_LIMIT:
        raise _refuse(text, "it is empty or too long")
    name, at, digest_text = name.partition("@")
    digest = parse_digest(digest_text) if at else None
    # A colon behind the last slash begins a tag; one before it, a port.
    is_url = stripped.startswith("oci://")
    tag: str | None = None
    if ":" in name.rpartition("/")[2] and ("/" in name or not is_url):
        name, _, tag = name.rpartition(":")
    if tag is not None and not _TAG.fullmatch(tag):
        raise _refuse(text, "its tag is empty or has other characters than letters, digits, '.', '_' and '-'")
    registry, repository = _split(text, name, has_host=is_url)
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def parse_digest(text: str) -> str:
    """Return a digest in lower case.

    Raises:
        WireError: it is not `sha256:` and 64 hex digits (or `sha512:` and 128).
    """
    if not _DIGEST.fullmatch(text):
        shown = redact(text, limit_bytes=160)
        raise WireError(f"{shown!r} is not a digest: expected sha256:<64 hex digits>", subject="digest")
    return text.lower()


def resolve_revision(repository_url: str, revision: str) -> Reference:
    """Return the artifact that Flux applied: an OCIRepository's `spec.url` at `<tag>@sha256:<hex>`.

    A source that names its digest gives `sha256:<hex>` without a tag, which is taken too.

    Raises:
        WireError: the URL or the revision has another form; the message holds the value and the forms.
    """
    base = parse_reference(repository_url)
    tag, at, digest = revision.rpartition("@")
    expected = "expected <tag>@sha256:<64 hex digits>"
    if (at and not _TAG.fullmatch(tag)) or not _DIGEST.fullmatch(digest):
        raise WireError(f"{redact(revision, limit_bytes=200)!r}: {expected}", subject="revision")
    return Reference(registry=base.registry, repository=base.repository, digest=digest.lower())


def _split(text: str, name: str, *, has_host: bool) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not has_host and not (slash and (first == "localhost" or "." in first or ":" in first)):
        first, rest = DOCKER_HUB, name
    host = first.lower()
    if not _HOST.fullmatch(host):
        raise _refuse(text, "its host is missing or not a host name")
    try:
        urlsplit(f"//{host}").port  # noqa: B018 - reading it checks it
    except ValueError as exc:
        raise _refuse(text, "its host or port cannot be read") from exc
    if host in _DOCKER_HUB_NAMES:
        host = DOCKER_HUB
        rest = rest if "/" in rest or not rest else f"library/{rest}"
    if len(rest) > 255 or not all(_NAME.fullmatch(segment) for segment in rest.split("/")):
        raise _refuse(text, "its repository is missing or is not lower-case names separated by '/'")
    return host, rest


def _refuse(text: str, why: str) -> WireError:
    shown = redact(text, limit_bytes=200)
    return WireError(f"{shown!r} is not an OCI reference: {why}. Accepted: {ACCEPTED_FORMS}", subject="reference")
