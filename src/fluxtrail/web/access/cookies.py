"""Our cookies: their names, how they are written, and how a browser's header is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.binding import is_loopback

SESSION = "fluxtrail-session"
FORM = "fluxtrail-form"
_GIVEN = "fluxtrail.cookies"
_MOST_PAIRS = 50


def is_secure(scope: Scope | Any) -> bool:
    """Whether the browser is told to keep a cookie to HTTPS: always but on loopback, where there is none.

    It is judged by the name that the browser used: behind a proxy nothing else tells.
    """
    return not is_loopback(host_name(header(scope, b"host")))


def cookie_name(scope: Scope | Any, name: str) -> str:
    """Return the name with the prefix that keeps other hosts of the domain from setting it.

    Source: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis, section 4.1.3
    """
    return f"__Host-{name}" if is_secure(scope) else name


def read_cookie(scope: Scope | Any, name: str) -> str:
    """Return a cookie of ours, or nothing where it is not there, or there more than once."""
    wanted = cookie_name(scope, name)
    found = [value for given, value in _pairs(scope) if given == wanted]
    return found[0] if len(found) == 1 else ""


def give_cookie(scope: Scope | Any, name: str, value: str, *, seconds: int) -> None:
    """Have the answer set a cookie; 0 seconds take it away."""
    secure = "; Secure" if is_secure(scope) else ""
    written = f"{cookie_name(scope, name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    scope.setdefault(_GIVEN, {})[name] = written.encode("ascii")


def given_cookies(scope: Scope | Any) -> list[tuple[bytes, bytes]]:
    """Return the headers that the guard adds to the answer."""
    return [(b"set-cookie", written) for written in scope.get(_GIVEN, {}).values()]


def header(scope: Scope | Any, name: bytes) -> str:
    """Return a header as text; of one that is repeated, all, as one that will not be understood."""
    return ", ".join(value.decode("latin-1") for given, value in scope["headers"] if given.lower() == name)


def host_name(host: str) -> str:
    """The name of a `Host` header, without its port: `[::1]:8080` is `::1`."""
    host = host.strip().lower()
    if "," in host:  # of two headers
        return ""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _pairs(scope: Scope | Any) -> Iterator[tuple[str, str]]:
    for given, header_value in scope["headers"]:
        if given.lower() != b"cookie":
            continue
        for pair in header_value.decode("latin-1").split(";")[:_MOST_PAIRS]:
            name, separator, value = pair.partition("=")
            if separator:
                yield name.strip(), value.strip()
