"""Problems as pages: what the API says as problem details, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.web.pages.rendering import page
from fluxtrail.web.problems import (
    ProblemError,
    on_fluxtrail,
    on_http,
    on_problem,
    on_unexpected,
    on_validation,
)
from fluxtrail.web.shapes import Problem

E = TypeVar("E", bound=Exception)
AnyRequest = Request[Any, Any, Any]
Handler = Callable[[AnyRequest, E], Response[Any]]


def as_page(answer: Handler[E]) -> Handler[E]:
    """Return a handler of errors that shows what `answer` says in problem details."""

    def shown(request: AnyRequest, exc: E) -> Response[Any]:
        said = answer(request, exc)
        problem = msgspec.json.decode(said.content, type=Problem)
        if isinstance(exc, HTTPException) and said.status_code == 404:
            problem = msgspec.structs.replace(problem, title="No such page", detail="There is nothing at this address.")
        return page(request, "error.html", title=problem.title, status=problem.status, problem=problem)

    return shown


def page_or(answer: Handler[E]) -> Handler[E]:
    """Return a handler of errors that shows a page to a browser outside the API, and `answer` to everybody else."""
    as_html = as_page(answer)

    def chosen(request: AnyRequest, exc: E) -> Response[Any]:
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        return as_html(request, exc) if wants_page else answer(request, exc)

    return chosen


HANDLERS: dict[int | type[Exception], Handler[Any]] = {
    ProblemError: as_page(on_problem),
    FluxtrailError: as_page(on_fluxtrail),
    ValidationException: as_page(on_validation),
    HTTPException: as_page(on_http),
    Exception: as_page(on_unexpected),
}
