"""Names of Kubernetes objects, and the places of files: what ends in a path is checked first."""

from __future__ import annotations

import posixpath
import re

from fluxtrail.model.errors import ConfigError

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def check_name(name: str, *, subject: str) -> str:
    """Return an object's name.

    Raises:
        ConfigError: Kubernetes takes no such name.
    """
    if len(name) > 253 or not _SUBDOMAIN.match(name):
        raise ConfigError(
            f"{name[:80]!r} is no object's name; use lower case letters, digits, '-' and '.'", subject=subject
        )
    return name


def check_namespace(name: str, *, subject: str) -> str:
    """Return a namespace.

    Raises:
        ConfigError: Kubernetes takes no such name.
    """
    if not _LABEL.match(name):
        raise ConfigError(f"{name[:80]!r} is no namespace; use lower case letters, digits and '-'", subject=subject)
    return name


def inner_path(path: str, *, subject: str) -> str:
    """Return a path below the output, cleaned, with slashes.

    Raises:
        ConfigError: it leads out of there.
    """
    cleaned = posixpath.normpath(path.strip() or ".")
    if "\\" in path or "\x00" in path or posixpath.isabs(cleaned) or cleaned.split("/")[0] == "..":
        raise ConfigError(f"{path[:80]!r} leads out of the output; name a place in it, with slashes", subject=subject)
    return cleaned


def source_path(path: str) -> str:
    """Return a path in a source as `flux create kustomization` writes it: `./` and what remains of it cleaned.

    It never leads out of the source: `..` at its top is the top.
    """
    cleaned = posixpath.normpath("/" + path.strip().replace("\\", "/")).lstrip("/")
    return f"./{cleaned}"
