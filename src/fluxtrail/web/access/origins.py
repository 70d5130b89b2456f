"""Which pages a request that changes something may come from: our own.

Sources: https://www.w3.org/TR/fetch-metadata/; https://fetch.spec.whatwg.org/#origin-header
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.binding import is_loopback
from fluxtrail.web.access.cookies import header, host_name
from fluxtrail.web.shapes import Problem

FOREIGN_PAGE = Problem(
    code="foreign_page", title="Not from another site", status=403, detail="a page of another site sent this"
)
_FOREIGN_SITES = ("cross-site", "same-site")


def is_foreign(scope: Scope | Any, allowed_hosts: frozenset[str]) -> bool:
    """Whether a page of another origin sent this; what is no browser states neither header.

    Args:
        allowed_hosts: names that are ours. A proxy may change `Host`, so such an origin is ours on any port; on
            loopback each port is somebody else's, and has to be the one that was asked.
    """
    site = header(scope, b"sec-fetch-site")
    if site in _FOREIGN_SITES:
        return True
    origin = header(scope, b"origin")
    if not origin or (origin == "null" and site == "same-origin"):
        return False
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return True
    if parts.scheme not in ("http", "https"):
        return True
    if parts.netloc.lower() == header(scope, b"host").strip().lower():
        return False
    asked = host_name(header(scope, b"host"))
    return is_loopback(name) or is_loopback(asked) or name not in allowed_hosts
