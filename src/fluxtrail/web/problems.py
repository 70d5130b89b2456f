"""Errors as RFC 9457 problem details: which parameter, which value, and what to do."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from fluxtrail.model.errors import ConfigError, ConflictError, FluxtrailError, StoreError
from fluxtrail.model.redaction import redact
from fluxtrail.model.views import Candidate
from fluxtrail.web.shapes import InvalidParameter, Problem

PROBLEM_MEDIA_TYPE = "application/problem+json"
VALUE_LIMIT_BYTES = 120

_MEANINGS = {
    400: "A parameter is invalid: `errors` names it, its value, and what is accepted.",
    401: "A token is needed.",
    403: "The token's role may not do it, or it would change something and may not come from there.",
    404: "Not known here.",
    409: "The query means several commits: `candidates` lists them; or what is asked for cannot be done now.",
    413: "The request's body is too large, or of unstated length.",
    414: "The query is too long.",
    415: "The request's body is not JSON.",
    421: "This server does not answer under the name in `Host`.",
    429: "Too much of it: the detail says when to ask again.",
    500: "A defect; the server's log has more.",
    503: "The ledger cannot be read now.",
}

_ANYWHERE = (400, 401, 403, 413, 414, 421, 429, 500, 503)
_MISSING = re.compile(r"[Mm]issing required \w+ parameter '(\w+)'")

_log = structlog.get_logger(__name__)


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """Return what OpenAPI says of these problems, and of those that every question may end with."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_MEANINGS[status],
            media_type=PROBLEM_MEDIA_TYPE,
            generate_examples=False,
        )
        for status in (*statuses, *_ANYWHERE)
    }


class ProblemError(Exception):
    """Ends a request with `problem`. Raised by handlers only; never leaves this folder."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def invalid(parameter: str, value: str, remedy: str) -> ProblemError:
    """Return a 400 that names the parameter and the value, and says what would be accepted."""
    shown = redact(value, limit_bytes=VALUE_LIMIT_BYTES)
    error = InvalidParameter(parameter=parameter, value=shown, message=remedy)
    return ProblemError(_invalid([error]))


def not_found(what: str, remedy: str) -> ProblemError:
    return ProblemError(Problem(code="not_found", title="Not found", status=404, detail=f"{what}. {remedy}"))


def ambiguous(query: str, candidates: list[Candidate]) -> ProblemError:
    detail = (
        f"{redact(query, limit_bytes=VALUE_LIMIT_BYTES)!r} may mean {len(candidates)} commits; give more of the sha"
    )
    return ProblemError(
        Problem(code="ambiguous", title="Ambiguous query", status=409, detail=detail, candidates=candidates)
    )


def problem_response(problem: Problem) -> Response[bytes]:
    return Response(content=msgspec.json.encode(problem), status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE)


def on_problem(_request: Request[Any, Any, Any], exc: ProblemError) -> Response[bytes]:
    return problem_response(exc.problem)


def on_validation(request: Request[Any, Any, Any], exc: ValidationException) -> Response[bytes]:
    """The framework's own complaint about a parameter, with the value that was given."""
    entries = exc.extra if isinstance(exc.extra, list) else []
    errors = []
    for entry in entries:
        key = str(entry.get("key", ""))
        message = _choices(request, key) or str(entry.get("message", ""))
        errors.append(_invalid_parameter(request, key.removesuffix("_"), message))
    if not errors:
        missing = _MISSING.search(exc.detail)
        message = "it is required" if missing else exc.detail
        errors = [_invalid_parameter(request, missing.group(1) if missing else "", message)]
    return problem_response(_invalid(errors))


def on_http(request: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    code = {400: "invalid_parameter", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(
        exc.status_code, "http_error"
    )
    detail = exc.detail
    if exc.status_code == 404:
        detail = (
            f"no such path: {redact(request.url.path, limit_bytes=200)}. The API is described at /api/v1/openapi.json"
        )
    response = problem_response(Problem(code=code, title=detail.split(".")[0], status=exc.status_code, detail=detail))
    for name, value in (exc.headers or {}).items():
        response.headers[name] = value
    return response


def on_fluxtrail(request: Request[Any, Any, Any], exc: FluxtrailError) -> Response[bytes]:
    """A ledger that cannot be read is 503; a bad cursor is the caller's; the rest is ours."""
    if isinstance(exc, ConfigError):
        return problem_response(_invalid([_invalid_parameter(request, exc.subject or "", exc.message)]))
    if isinstance(exc, ConflictError):
        return problem_response(Problem(code="conflict", title="Not now", status=409, detail=str(exc)))
    status = 503 if isinstance(exc, StoreError) or exc.retryable else 500
    _log.error("request_failed", error=str(exc), retryable=exc.retryable)
    return problem_response(Problem(code="unavailable", title="Cannot answer now", status=status, detail=str(exc)))


def on_unexpected(_request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """A defect of ours: logged whole, told without its text, which may hold anything."""
    _log.error("request_crashed", exc_info=exc)
    detail = "an unexpected error; the log of the server has it"
    return problem_response(Problem(code="internal", title="Internal error", status=500, detail=detail))


def _invalid_parameter(request: Request[Any, Any, Any], name: str, message: str) -> InvalidParameter:
    value = {**request.query_params, **request.path_params}.get(name, "")
    return InvalidParameter(parameter=name, value=redact(str(value), limit_bytes=VALUE_LIMIT_BYTES), message=message)


def _choices(request: Request[Any, Any, Any], key: str) -> str:
    """Return what may be given in place of a value that is none of a parameter's few; empty for any other parameter."""
    field = request.route_handler.parsed_fn_signature.parameters.get(key)
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    choices = [str(one.value) for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum) for one in kind]
    choices += [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return f"use one of {', '.join(choices)}" if choices else ""


def _invalid(errors: list[InvalidParameter]) -> Problem:
    detail = "; ".join(f"{e.parameter}={e.value!r}: {e.message}" if e.parameter else e.message for e in errors)
    return Problem(code="invalid_parameter", title="Invalid parameter", status=400, detail=detail, errors=errors)
