"""Lists as CSV: `format=csv` of every list of the API, for spreadsheets (docs/api.md)."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from fluxtrail.model.moment import Moment
from fluxtrail.model.views import BoardRow, BoardView
from fluxtrail.web.problems import invalid
from fluxtrail.web.shapes import Page

PARAMETER = "format"
MEDIA_TYPE = "text/csv"
FORMATS = ("json", "csv")
_DESCRIBED = {
    "name": PARAMETER,
    "in": "query",
    "required": False,
    "description": "`csv` for a spreadsheet; the page behind it is in the header `Link`.",
    "schema": {"type": "string", "enum": list(FORMATS), "default": "json"},
}
_LISTS = ("Page[", "BoardView")
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would take a text that begins so for a formula. Source: OWASP, CSV Injection."""


def is_list(handler: Any) -> bool:
    """True for a handler whose answer can be had as CSV."""
    return str(inspect.signature(handler.fn).return_annotation).startswith(_LISTS)


def describe_lists(schema: dict[str, Any], handlers: Iterable[HTTPRouteHandler]) -> None:
    """Add this form to an OpenAPI document, wherever there is a list."""
    lists = {handler.operation_id for handler in handlers if is_list(handler)}
    for operations in schema["paths"].values():
        for operation in operations.values():
            if operation["operationId"] in lists:
                operation.setdefault("parameters", []).append(_DESCRIBED)
                operation["responses"]["200"]["content"][MEDIA_TYPE] = {"schema": {"type": "string"}}


def check_format(request: Request[Any, Any, Any]) -> None:
    """Raise the 400 for a form that there is not."""
    given = request.query_params.get(PARAMETER)
    if given is not None and given not in FORMATS:
        raise invalid(PARAMETER, given, f"use one of {', '.join(FORMATS)}")


def is_table(request: Request[Any, Any, Any]) -> bool:
    """Whether a list is asked for as CSV."""
    return request.query_params.get(PARAMETER) == "csv"


class ListResponse(Response[Any]):
    """An answer of the API: a list in the form that was asked for, anything else as it is."""

    def to_asgi_response(self, *, request: Request[Any, Any, Any], **known: Any) -> ASGIApp:  # type: ignore[override]
        content = self.content
        if not is_table(request) or not isinstance(content, Page | BoardView):
            return super().to_asgi_response(request=request, **known)
        name = request.url.path.rpartition("/")[2]
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        if content.next is not None:
            query = {**request.query_params, ("after" if name == "transitions" else "cursor"): content.next}
            headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
        written = Response(content=write_csv(content), headers=headers, media_type=MEDIA_TYPE)
        return written.to_asgi_response(app=None, request=request)


def write_csv(content: Page[Any] | BoardView) -> str:
    """Return a list as CSV (RFC 4180): a line of names, then a line for each item.

    What has parts has a column for each of them (`verdicts.failed`); of a moment only the instant is written, and what
    is a list is JSON.
    """
    if isinstance(content, BoardView):
        rows = [_board_line(row, [column.name for column in content.columns]) for row in content.items]
    else:
        rows = [_flat(item) for item in content.items]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([_safe(name) for name in names])
    writer.writerows([[row.get(name, "") for name in names] for row in rows])
    return written.getvalue()


def _board_line(row: BoardRow, columns: Sequence[str]) -> dict[str, str]:
    line = _flat(row.commit)
    for name, cell in zip(columns, row.cells, strict=True):
        line[f"at {name}"] = "" if cell is None else cell.verdict
    return line


def _flat(item: Any, prefix: str = "") -> dict[str, str]:
    line: dict[str, str] = {}
    parts: Mapping[str, Any] = item if isinstance(item, Mapping) else msgspec.structs.asdict(item)
    for name, value in parts.items():
        key = f"{prefix}{name}"
        if isinstance(value, Moment):
            line[key] = _instant(value.at)
        elif isinstance(value, Mapping | msgspec.Struct):
            line.update(_flat(value, f"{key}."))
        else:
            line[key] = _text(value)
    return line


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return _safe(value)
    return msgspec.json.encode(value).decode()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_DANGEROUS) else text
