"""Logging: lines for people on a terminal, JSON elsewhere; constant events with key and value."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

Follower = Callable[[Mapping[str, Any]], None]
"""Is given each line as it is logged. It must not wait, fail, or log."""

_followers: list[Follower] = []


@contextmanager
def follow_logs(follower: Follower) -> Iterator[None]:
    """Hand every line that is logged meanwhile to `follower`, those of a silent process too."""
    _followers.append(follower)
    try:
        yield
    finally:
        _followers.remove(follower)


def configure_logs(*, level: str, is_silent: bool = False) -> None:
    """Set up structlog and the standard library's loggers alike.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        is_silent: say nothing on stdout (a telemetry mode without it).
    """
    number = logging.getLevelNamesMapping()[level]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stdout.isatty():
        renderers: list[structlog.types.Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, _follow, *([_drop] if is_silent else renderers)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    quietest = logging.CRITICAL + 10 if is_silent else logging.WARNING
    logging.basicConfig(level=max(number, quietest), handlers=[handler], force=True)


def _follow(_logger: Any, _name: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    for follower in _followers:
        follower(line)
    return line


def _drop(_logger: Any, _name: str, _line: structlog.types.EventDict) -> structlog.types.EventDict:
    raise structlog.DropEvent
