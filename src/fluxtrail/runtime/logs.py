"""Logging: lines for people on a terminal, JSON elsewhere; constant events with key and value."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, level: str, is_silent: bool = False) -> None:
    """Set up structlog and the standard library's loggers alike.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        is_silent: say nothing at all (a telemetry mode without stdout).
    """
    number = logging.CRITICAL + 10 if is_silent else logging.getLevelNamesMapping()[level]
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
        processors=[*shared, *renderers],
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
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
