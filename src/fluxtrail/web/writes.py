"""What may change something through the API: no page of another site, and nobody from afar without a token.

A browser sends JSON to another origin only after asking it first (CORS), which is never answered here.
Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header; https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

from typing import Any

from litestar import Request

from fluxtrail.web.access.binding import is_loopback
from fluxtrail.web.problems import ProblemError
from fluxtrail.web.shapes import Problem

_FOREIGN = ("cross-site", "same-site")


def check_write(request: Request[Any, Any, Any], *, has_token: bool) -> None:
    """Refuse a request that would change something; a token, where the server has one, was looked at before.

    Raises:
        ProblemError: 403 or 415.
    """
    # The address that the connection came in by, not who connected: a proxy is always near.
    host = (request.scope.get("server") or ("", 0))[0] or ""
    if not has_token and not is_loopback(host):
        detail = f"{host[:80]!r} is not loopback, and no token is set; set one in api.tokens, or ask on 127.0.0.1"
        raise _refused(403, "token_needed", "A token is needed to change something", detail)
    if request.headers.get("sec-fetch-site", "") in _FOREIGN:
        raise _refused(403, "foreign_page", "Not from another site", "a page of another site sent this")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f"the body is {kind[:80] or 'of no stated type'!r}; send JSON with `Content-Type: application/json`"
        raise _refused(415, "unsupported_media_type", "JSON is needed", detail)


def _refused(status: int, code: str, title: str, detail: str) -> ProblemError:
    return ProblemError(Problem(code=code, title=title, status=status, detail=detail))
