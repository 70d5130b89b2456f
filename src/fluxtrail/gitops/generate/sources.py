"""The specs of sources."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fluxtrail.gitops.declaration.entries import BucketSource, GitSource, HelmSource, OciSource
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact

_LAYER_OPERATIONS = ("extract", "copy")


def git_spec(entry: GitSource, subject: str) -> dict[str, Any]:
    _check_url(entry.url, ("https", "http", "ssh"), subject)
    spec: dict[str, Any] = {"url": entry.url, "ref": _git_reference(entry, subject)}
    if entry.recurse_submodules:
        spec["recurseSubmodules"] = True
    if entry.sparse_checkout:
        spec["sparseCheckout"] = entry.sparse_checkout
    if entry.provider:
        spec["provider"] = entry.provider
    return {**spec, **_ignore(entry.ignore), **_secret(entry.secret), **_secret(entry.proxy_secret, "proxySecretRef")}


def _git_reference(entry: GitSource, subject: str) -> dict[str, str]:
    named = {
        "commit": entry.commit,
        "name": entry.ref_name,
        "semver": entry.semver,
        "tag": entry.tag,
        "branch": entry.branch,
    }
    found = {field: value for field, value in named.items() if value}
    if not found:
        raise ConfigError("has no reference; add branch, tag, semver, ref_name or commit", subject=subject)
    # With a commit the branch says where Flux finds it without fetching everything.
    if len(found) > 1 and set(found) != {"commit", "branch"}:
        raise ConfigError(f"has {' and '.join(sorted(found))}, of which Flux takes one; leave one", subject=subject)
    return found


def helm_spec(entry: HelmSource, subject: str) -> dict[str, Any]:
    scheme = _check_url(entry.url, ("https", "http", "oci"), subject)
    spec: dict[str, Any] = {"url": entry.url}
    if scheme == "oci":
        spec["type"] = "oci"
    if entry.provider:
        if scheme != "oci":
            raise ConfigError("has a provider, which only oci:// has; leave it out", subject=f"{subject}.provider")
        spec["provider"] = entry.provider
    if entry.pass_credentials:
        if not entry.secret:
            raise ConfigError("needs a secret; name it, or leave this out", subject=f"{subject}.pass_credentials")
        spec["passCredentials"] = True
    return {**spec, **_secret(entry.secret)}


def oci_spec(entry: OciSource, subject: str) -> dict[str, Any]:
    _check_url(entry.url, ("oci",), subject)
    named = {"digest": entry.digest, "semver": entry.semver, "tag": entry.tag}
    reference = {field: value for field, value in named.items() if value}
    if len(reference) != 1:
        raise ConfigError("needs one of tag, semver and digest; name one", subject=subject)
    spec: dict[str, Any] = {"url": entry.url, "ref": reference, "provider": entry.provider}
    if entry.insecure:
        spec["insecure"] = True
    if entry.service_account:
        spec["serviceAccountName"] = entry.service_account
    if entry.layer_selector is not None:
        spec["layerSelector"] = _layer_selector(entry.layer_selector, f"{subject}.layer_selector")
    if entry.verify is not None:
        spec["verify"] = _verification(entry)
    return {
        **spec,
        **_ignore(entry.ignore),
        **_secret(entry.secret),
        **_secret(entry.proxy_secret, "proxySecretRef"),
        **_secret(entry.cert_secret, "certSecretRef"),
    }


def _layer_selector(text: str, subject: str) -> dict[str, str]:
    media_type, _, operation = text.partition(":")
    if not media_type or operation not in _LAYER_OPERATIONS:
        raise ConfigError(f"{text[:80]!r} selects nothing; write <media type>:extract, or :copy", subject=subject)
    return {"mediaType": media_type, "operation": operation}


def _verification(entry: OciSource) -> dict[str, Any]:
    assert entry.verify is not None
    found: dict[str, Any] = {"provider": entry.verify.provider, **_secret(entry.verify.secret)}
    if entry.verify.issuer or entry.verify.subject:
        found["matchOIDCIdentity"] = [{"issuer": entry.verify.issuer or "", "subject": entry.verify.subject or ""}]
    return found


def bucket_spec(entry: BucketSource, subject: str) -> dict[str, Any]:
    for field in ("bucket", "endpoint"):
        if not getattr(entry, field):
            raise ConfigError("is empty; name it", subject=f"{subject}.{field}")
    spec: dict[str, Any] = {"bucketName": entry.bucket, "endpoint": entry.endpoint, "provider": entry.provider}
    if entry.insecure:
        spec["insecure"] = True
    if entry.region:
        spec["region"] = entry.region
    return {**spec, **_ignore(entry.ignore), **_secret(entry.secret), **_secret(entry.proxy_secret, "proxySecretRef")}


def _check_url(url: str, schemes: tuple[str, ...], subject: str) -> str:
    """Return an address' scheme.

    Raises:
        ConfigError: Flux takes no such address, or it holds a password, which has no business in a repository.
    """
    place = f"{subject}.url"
    try:
        parts = urlsplit(url)
        host, password = parts.hostname, parts.password
    except ValueError as exc:
        raise ConfigError("is no address; write one as https://host/path", subject=place) from exc
    if parts.scheme not in schemes or not host:
        schemes_said = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigError(f"{redact(url, limit_bytes=120)!r} is no such address; use {schemes_said}", subject=place)
    if password:
        raise ConfigError("holds a password; put it into a Secret and name that by `secret`", subject=place)
    return parts.scheme


def _ignore(said: list[str] | str) -> dict[str, str]:
    text = said if isinstance(said, str) else "\n".join(said)
    return {"ignore": text} if text else {}


def _secret(name: str | None, field: str = "secretRef") -> dict[str, Any]:
    return {field: {"name": name}} if name else {}
