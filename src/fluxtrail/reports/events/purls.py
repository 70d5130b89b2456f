"""Package URLs of what was delivered: the image where it is known, else the commit. Pure.

Source: github.com/package-url/purl-spec: types github, bitbucket, oci and generic
"""

from __future__ import annotations

from urllib.parse import quote

from fluxtrail.model.telling import BuiltImage, TrackedCommit

_TYPES = {"github.com": "github", "bitbucket.org": "bitbucket"}


def image_purl(image: BuiltImage) -> str:
    """Return `pkg:oci/shop@sha256%3A…?repository_url=ghcr.io/acme/shop`."""
    name = image.repository.rpartition("/")[2].lower()
    place = quote(image.repository.lower(), safe="/")
    return f"pkg:oci/{_quoted(name)}@{_quoted(image.digest)}?repository_url={place}"


def commit_purl(commit: TrackedCommit) -> str:
    """Return `pkg:github/acme/shop@<sha>`, or a generic one of the repository's canonical name."""
    named = commit.repository.partition("://")[2] or commit.repository
    host, _, path = named.partition("/")
    type_ = _TYPES.get(host)
    if type_ is not None and path.count("/") == 1:
        return f"pkg:{type_}/{quote(path.lower(), safe='/')}@{commit.sha}"
    place = "/".join(_quoted(part) for part in (host, *path.split("/")) if part)
    return f"pkg:generic/{place}@{commit.sha}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
