"""The proxy for a URL, by the variables everybody knows: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def find_proxy(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL, login included, or None to connect directly."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if any(_covers(entry.strip().lower(), host, parts.port) for entry in exempt.split(",")):
        return None
    name = f"{parts.scheme}_proxy"
    return environ.get(name) or environ.get(name.upper()) or None


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of `NO_PROXY` is the host, a domain above it, or `*`; it may end in `:port`."""
    if entry == "*":
        return True
    name, _, stated = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    name = name.lstrip(".")
    return bool(name) and (not stated or stated == str(port)) and (host == name or host.endswith(f".{name}"))
