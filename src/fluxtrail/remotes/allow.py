"""Which hosts and owners may be contacted at all: rule 5 of the design.

A URL found in data is never fetched unless this list admits it. It holds the hosts of watched sources
(admitted at run time) and the configured patterns. Loopback, link-local and cloud metadata addresses are
refused however they are written, unless a configured pattern names that very host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from fnmatch import fnmatchcase

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.repository import RepositoryUrl, parse_repository

SETTING = "allow"
LOOKUP_TIMEOUT_SECONDS = 5.0

_PATTERN = re.compile(
    r"(?:(?P<scheme>https?|ssh|file)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:\s\[\]]*)(?::(?P<port>\d+))?(?:/(?P<path>\S*))?"
)
# Names by which a machine calls itself or its cloud's metadata service.
_INTERNAL_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "metadata", "metadata.google.internal"}
)
# Metadata and platform services outside the link-local ranges: AWS over IPv6, Alibaba, Azure's host agent.
_INTERNAL_ADDRESSES = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")))


class _Pattern:
    """`[scheme://]host[:port][/owner[/name]]`, with `*` in the host and in the path."""

    def __init__(self, text: str) -> None:
        match = _PATTERN.fullmatch(text.strip())
        if match is None or not (match["host"] or match["scheme"] == "file"):
            raise ConfigError(
                f"{text!r} is not host[/owner[/name]], e.g. github.com/acme/* or http://git.local/*", subject=SETTING
            )
        self.scheme = match["scheme"]
        self.host = match["host"].strip("[]").lower()
        self.port = int(match["port"]) if match["port"] else None
        self.path = (match["path"] or "*").strip("/").lower()

    def admits(self, url: RepositoryUrl) -> bool:
        if self.scheme and self.scheme != url.scheme:
            return False
        if self.port is not None and self.port != _effective_port(url):
            return False
        inner = url.canonical.partition("/")[2].lower()
        names = {url.host, url.canonical.partition("/")[0].strip("[]")}
        path_fits = fnmatchcase(inner, self.path) or fnmatchcase(inner, self.path.rstrip("/*") + "/*")
        return any(fnmatchcase(name, self.host) for name in names) and path_fits

    def names(self, url: RepositoryUrl) -> bool:
        """Whether it admits `url` by its very host, not by a wildcard."""
        return self.host == url.host and self.admits(url)


class AllowList:
    """The one question asked before any repository is contacted: `check`.

    Args:
        patterns: `host[/owner[/name]]`. One that begins with `http://` also permits plain HTTP there.
        allow_file_protocol: whether `file:///…` is admitted (tests and the demo).
    """

    def __init__(self, patterns: Iterable[str] = (), *, allow_file_protocol: bool = False) -> None:
        self._patterns = [_Pattern(text) for text in patterns]
        self._admitted: set[tuple[str, str]] = set()
        self._stated_http: set[str] = set()
        self.allow_file_protocol = allow_file_protocol

    def admit(self, url: RepositoryUrl | str, *, is_stated: bool = False) -> None:
        """Admit the host of a watched source, with every owner on it. Internal addresses stay refused.

        Args:
            is_stated: the settings name this URL, so plain HTTP there is meant, logins included.
        """
        parsed = parse_repository(url) if isinstance(url, str) else url
        if is_stated and parsed.scheme == "http":
            self._stated_http.add(_forge_host(parsed))
        self._admitted.add(("http" if parsed.scheme == "http" else "secure", _forge_host(parsed)))

    def check(self, url: RepositoryUrl | str) -> RepositoryUrl:
        """Return `url`, parsed, if it may be contacted.

        Raises:
            WireError: it is no repository URL.
            ConfigError: it is not admitted; the message names the setting.
        """
        parsed = parse_repository(url) if isinstance(url, str) else url
        if parsed.scheme == "file":
            if not self.allow_file_protocol:
                why = "file URLs are for tests and the demo only"
                raise self._refuse(parsed, why, "set `allow_file_protocol` for these")
            return parsed
        if is_internal_host(parsed.host) and not self._is_named(parsed):
            raise self._refuse(parsed, "it is a loopback, link-local or metadata address")
        if parsed.scheme == "http" and not self.allows_plain_http(parsed):
            raise self._refuse(
                parsed, "plain HTTP is not allowed for it", f"add `http://{parsed.host}/*` to `{SETTING}`"
            )
        if {("secure", _forge_host(parsed)), ("http", _forge_host(parsed))} & self._admitted:
            return parsed
        if any(pattern.admits(parsed) for pattern in self._patterns):
            return parsed
        raise self._refuse(parsed, "no watched source is on its host, and no pattern admits it")

    def allows_plain_http(self, url: RepositoryUrl) -> bool:
        """Whether `http://` is wanted there: by a pattern with that scheme, or by a watched source itself."""
        explicit = any(pattern.scheme == "http" and pattern.admits(url) for pattern in self._patterns)
        return explicit or ("http", _forge_host(url)) in self._admitted

    def may_log_in(self, url: RepositoryUrl) -> bool:
        """Whether a login may be shown there. In clear text only where the settings say so: whoever may write a source
        on a cluster could otherwise have our logins sent over the open network.
        """
        explicit = any(pattern.scheme == "http" and pattern.admits(url) for pattern in self._patterns)
        return url.scheme != "http" or explicit or _forge_host(url) in self._stated_http

    async def check_addresses(self, url: RepositoryUrl) -> None:
        """Refuse a host name that resolves to an internal address (a name anybody can register can do so).

        A name that does not resolve here passes: a proxy may resolve it, and git will say so otherwise.

        Raises:
            ConfigError: one of its addresses is internal and no pattern names the host.
        """
        if url.scheme == "file" or self._is_named(url):
            return
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(url.host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            return
        for *_, address in found:
            if is_internal_host(str(address[0])):
                raise self._refuse(url, "its name resolves to a loopback, link-local or metadata address")

    def _is_named(self, url: RepositoryUrl) -> bool:
        return any(pattern.names(url) for pattern in self._patterns)

    @staticmethod
    def _refuse(url: RepositoryUrl, why: str, remedy: str = f"add a pattern for it to `{SETTING}`") -> ConfigError:
        return ConfigError(f"this repository may not be contacted: {why}; {remedy}", subject=url.fetch_url)


def is_internal_host(host: str) -> bool:
    """Whether `host` is this machine, its link or its cloud's metadata service, however it is written.

    `inet_aton` forms count (`2130706433`, `0x7f.1`, `127.1`, `0177.0.0.1`): git's resolver accepts them.
    """
    name = host.strip("[]").rstrip(".").lower().partition("%")[0]
    if name in _INTERNAL_NAMES or name.endswith((".localhost", ".localdomain")):
        return True
    address = _find_address(name)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _find_nat64(address)
        if inner is not None:
            address = inner
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address in _INTERNAL_ADDRESSES
        or (address.version == 4 and int(address) >> 24 == 0)
    )


def _find_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", name):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _find_nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _forge_host(url: RepositoryUrl) -> str:
    """The host by which a forge is known, whichever of its doors the URL takes (`ssh.github.com`)."""
    return url.canonical.partition("/")[0]


def _effective_port(url: RepositoryUrl) -> int | None:
    return url.port or {"https": 443, "http": 80, "ssh": 22}.get(url.scheme)
