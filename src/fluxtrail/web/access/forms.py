"""Forms that only our own pages can send.

Each holds a token in a hidden field named `csrf`: of the session where there is one, else the one that the browser also
keeps in a cookie (double submit). The guard checks it before any handler runs, for every request that is no JSON to the
API, so that no handler can forget it.

    <form method="post" action="/reports/replay">
      <input type="hidden" name="csrf" value="{{ csrf_token() }}">

(`csrf_token` of templates knows its request. `principal.may_act` tells whether to show such a form at all.)

Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.cookies import FORM, give_cookie, read_cookie
from fluxtrail.web.problems import ProblemError
from fluxtrail.web.shapes import Problem

FIELD = "csrf"
SESSION_TOKEN = "fluxtrail.csrf"  # noqa: S105 - where in the scope the session's is
_NEW_TOKEN = "fluxtrail.csrf_new"  # noqa: S105 - where in the scope one is that the browser is only now given
CHECKED = "fluxtrail.csrf_checked"
FOREIGN_FORM = Problem(
    code="foreign_form",
    title="The form is out of date",
    status=403,
    detail="the form did not come from a page that this browser has now (its field csrf is missing or another's): load "
    "the page again and repeat it. If that does not help, cookies are not kept: pages need HTTPS, or loopback",
)
_MOST_FIELDS = 2000
_KEPT_SECONDS = 12 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def csrf_token(request: Request[Any, Any, Any]) -> str:
    """Return what the hidden field `csrf` of every form that is posted has to hold."""
    return token_in(request.scope)


def token_in(scope: Scope | Any) -> str:
    of_session: str = scope.get(SESSION_TOKEN, "")
    if of_session:
        return of_session
    kept = read_cookie(scope, FORM) or scope.get(_NEW_TOKEN, "")
    if not _TOKEN.fullmatch(kept):
        kept = scope[_NEW_TOKEN] = secrets.token_urlsafe(32)
        give_cookie(scope, FORM, kept, seconds=_KEPT_SECONDS)
    return kept


def check_csrf(request: Request[Any, Any, Any]) -> None:
    """Refuse a form that the guard did not look at; for who wants to see the check beside the action.

    Raises:
        ProblemError: 403.
    """
    if request.scope.get(CHECKED) is not True:
        raise ProblemError(FOREIGN_FORM)


def is_right_form(scope: Scope | Any, body: bytes) -> bool:
    """Whether the form in `body` came from a page that this browser got from us."""
    wanted = scope.get(SESSION_TOKEN, "") or read_cookie(scope, FORM)
    given = form_field(body, FIELD)
    return bool(_TOKEN.fullmatch(wanted)) and hmac.compare_digest(given.encode(), wanted.encode())


def form_field(body: bytes, name: str) -> str:
    """Return the only field of that name, or nothing."""
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return ""
    found = [value for given, value in fields if given == name]
    return found[0] if len(found) == 1 else ""
