"""A misspelt filter must not silently become no filter: what a handler does not name is refused."""

from __future__ import annotations

import inspect
from typing import Any

from litestar import Request

from fluxtrail.web.problems import invalid


def refuse_unknown(request: Request[Any, Any, Any], *, also: tuple[str, ...] = ()) -> None:
    """Raise the 400 that names the first query parameter which the request's handler does not take.

    Args:
        also: what is accepted beyond the handler's own parameters.
    """
    # `state` is the framework's own, so that parameter is called `state_` in handlers.
    names = [name.removesuffix("_") for name in inspect.signature(request.route_handler.fn).parameters]
    known = [name for name in names if name not in ("request", "data")]
    accepted = [*(name for name in known if name not in request.path_params), *also]
    for name, value in request.query_params.items():
        if name not in accepted:
            remedy = f"accepted here: {', '.join(accepted)}" if accepted else "no parameters are accepted here"
            raise invalid(name, value, remedy)
