"""Which proxy a request goes through, by the environment variables everybody knows.

aiohttp's own reading of the environment would read `~/.netrc` as well and send what it finds there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def proxy_from_environment(server: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy for `server` by HTTPS_PROXY or HTTP_PROXY unless NO_PROXY or loopback exempts it.

    Source: Go's golang.org/x/net/http/httpproxy, which is what kubectl follows.
    """
    parts = urlsplit(server)
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name) or environ.get(name.upper())
    if not proxy or _is_exempt(parts.hostname or "", parts.port, environ.get("no_proxy") or environ.get("NO_PROXY")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_exempt(host: str, port: int | None, exemptions: str | None) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip(), host, port, address) for entry in (exemptions or "").split(",") if entry.strip())


def _matches(
    entry: str, host: str, port: int | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if entry == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            pass
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    bare = name.removeprefix("*").removeprefix(".").lower()
    is_suffix_only = name.startswith((".", "*."))
    return host.lower().endswith(f".{bare}") or (host.lower() == bare and not is_suffix_only)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
