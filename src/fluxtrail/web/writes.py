"""What may change something through the API: nothing that a page of another site sends.

Who may change something at all is the guard's affair (`web/access`), which has looked at every request before.

A browser sends JSON to another origin only after asking it first (CORS), which is never answered here.
Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header; https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

from typing import Any

from litestar import Request

from fluxtrail.web.problems import ProblemError
from fluxtrail.web.shapes import Problem

_FOREIGN = ("cross-site", "same-site")


def check_write(request: Request[Any, Any, Any]) -> None:
    """Refuse a request that would change something and does not come from a client of the API.

    Raises:
        ProblemError: 403 or 415.
    """
    if request.headers.get("sec-fetch-site", "") in _FOREIGN:
        raise _refused(403, "foreign_page", "Not from another site", "a page of another site sent this")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f"the body is {kind[:80] or 'of no stated type'!r}; send JSON with `Content-Type: application/json`"
        raise _refused(415, "unsupported_media_type", "JSON is needed", detail)


def _refused(status: int, code: str, title: str, detail: str) -> ProblemError:
    return ProblemError(Problem(code=code, title=title, status=status, detail=detail))
