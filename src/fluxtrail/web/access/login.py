"""`/login` and `/logout`: how a browser gets a session for a token, and ends it. They work without scripts."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from litestar import Request, Response, Router, get, post
from litestar.params import QueryParameter

from fluxtrail.web.access.audit import name_action
from fluxtrail.web.access.cookies import FORM, SESSION, give_cookie
from fluxtrail.web.access.doorkeeper import Doorkeeper, Refusal, doorkeeper_in, session_in
from fluxtrail.web.access.exchange import LOGIN
from fluxtrail.web.access.forms import check_csrf, form_field
from fluxtrail.web.access.guard import LOGOUT, REFUSAL, REFUSED
from fluxtrail.web.access.principals import PRINCIPAL, Means, Role, principal_of
from fluxtrail.web.access.sessions import SESSION_SECONDS
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.pages.problems import HANDLERS
from fluxtrail.web.pages.rendering import page
from fluxtrail.web.parameters import refuse_unknown
from fluxtrail.web.problems import ProblemError, not_found
from fluxtrail.web.shapes import Problem

AnyRequest = Request[Any, Any, Any]
_LONGEST_PATH = 4096
_WRONG = "This token is not known here. It may have been replaced by another."
_OF_PIPELINE = (
    "This token is a pipeline's: it states runs, and sees no pages. Sign in with a viewer's or an operator's."
)


@get(LOGIN, include_in_schema=False, sync_to_thread=False)
def show_login(
    request: AnyRequest, *, next_: Annotated[str, QueryParameter(name="next", max_length=_LONGEST_PATH)] = "/"
) -> Response[Any]:
    """Where no token is needed, or one was shown already, it leads on."""
    back = local_path(next_)
    doorkeeper = doorkeeper_in(request.scope)
    if doorkeeper is None or not doorkeeper.tokens or principal_of(request).means is not Means.NOTHING:
        return _lead_to(back)
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return _once_more(back)
    return _form(request, back)


@post(LOGIN, include_in_schema=False, status_code=200)
async def sign_in(request: AnyRequest) -> Response[Any]:
    """A right token becomes a cookie; the token itself stays nowhere."""
    check_csrf(request)
    name_action(request, "sign_in")
    body = await request.body()
    back = local_path(form_field(body, "next") or "/")
    doorkeeper = doorkeeper_in(request.scope)
    if doorkeeper is None or not doorkeeper.tokens:
        return _lead_to(back)
    secret = form_field(body, "token").strip()
    found = doorkeeper.try_secret(request.scope, secret)
    if isinstance(found, Refusal):
        return _refused(request, found, back)
    if found.role is Role.CI:
        return _form(request, back, status=403, wrong=_OF_PIPELINE)
    return _signed_in(request, doorkeeper, found, secret, back)


@post(LOGOUT, include_in_schema=False, status_code=200, sync_to_thread=False)
def sign_out(request: AnyRequest) -> Response[Any]:
    check_csrf(request)
    name_action(request, "sign_out")
    doorkeeper, session = doorkeeper_in(request.scope), session_in(request.scope)
    if doorkeeper is not None and session is not None:
        doorkeeper.sessions.end(session)
    give_cookie(request.scope, SESSION, "", seconds=0)
    return _lead_to(LOGIN)


@get(REFUSED, include_in_schema=False, sync_to_thread=False)
def show_refusal(request: AnyRequest) -> Response[Any]:
    """What the guard refused, as a page; nobody asks for it by its address."""
    problem: Problem | None = request.scope.get(REFUSAL)  # type: ignore[assignment]
    raise not_found("there is no such page", "Pages are linked from /") if problem is None else ProblemError(problem)


def create_login() -> Router:
    return Router(
        "/",
        route_handlers=[show_login, sign_in, sign_out, show_refusal],
        before_request=_check,
        exception_handlers=dict(HANDLERS),
    )


def local_path(text: str) -> str:
    r"""Return where to go after signing in: a path of ours, or `/` for whatever else is asked.

    Browsers take `//host`, `/\host` and, as they leave out tabs and line ends, `/<tab>/host` for another site.
    """
    is_plain = text.isprintable() and "\\" not in text and len(text) <= _LONGEST_PATH
    if not is_plain or not text.startswith("/") or text.startswith("//"):
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path in (LOGIN, LOGOUT, REFUSED):
        return "/"
    return quote(text.partition("#")[0], safe="/?&=%:;,@+$!*'()~[]")


async def _check(request: AnyRequest) -> None:
    refuse_unknown(request)


def _form(request: AnyRequest, back: str, *, status: int = 200, wrong: str = "") -> Response[Any]:
    return page(request, "login.html", title="Sign in", status=status, has_frame=False, back=back, wrong=wrong)


def _refused(request: AnyRequest, refusal: Refusal, back: str) -> Response[Any]:
    """A wrong token is asked for again; after too many, the page says how long to wait."""
    if refusal.retry_after_seconds is None:
        response = _form(request, back, status=401, wrong=_WRONG)
        response.headers["www-authenticate"] = 'Bearer realm="fluxtrail"'
        return response
    detail = refusal.problem.detail
    response = _form(request, back, status=429, wrong=f"{detail[0].upper()}{detail[1:]}.")
    response.headers["retry-after"] = str(refusal.retry_after_seconds)
    return response


def _signed_in(request: AnyRequest, doorkeeper: Doorkeeper, token: Token, secret: str, back: str) -> Response[Any]:
    request.scope[PRINCIPAL] = token.principal(Means.SESSION)  # type: ignore[literal-required]
    cookie = doorkeeper.sessions.start(token, secret)
    give_cookie(request.scope, SESSION, cookie, seconds=SESSION_SECONDS)
    give_cookie(request.scope, FORM, "", seconds=0)
    return _lead_to(back)


def _lead_to(path: str) -> Response[Any]:
    return Response(content=b"", status_code=303, headers={"location": path}, media_type="text/html")


def _once_more(back: str) -> Response[Any]:
    """Let our own page ask again: a browser that follows a link from another site leaves out a strict cookie, so who
    comes from a chat would have to sign in each time.
    """
    url = escape(f"{LOGIN}?next={quote(back, safe='/')}", quote=True)
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fluxtrail</title>'
        f'<meta http-equiv="refresh" content="0; url={url}"></head><body><a href="{url}">Go on</a></body></html>'
    )
    return Response(content=text, status_code=200, media_type="text/html")
