"""What the `gitops` commands that speak to a cluster have in common: which one, which objects, how it is printed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from fluxtrail.clusters.connection import Connection

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

FAILED, USAGE, TIMED_OUT, WILL_NOT = 1, 2, 3, 4
FORMATS = ("table", "json", "yaml", "name")
DEFAULT_NAMESPACE = "flux-system"


class Place(NamedTuple):
    """Which cluster."""

    kubeconfig: str | None
    context: str | None

    def open(self) -> Connection:
        """Return a connection, not yet used.

        Raises:
            ConfigError: no such file or context; the message says what to change.
        """
        from fluxtrail.clusters.connection import open_connection

        environ = dict(os.environ)
        if self.kubeconfig:
            environ["KUBECONFIG"] = self.kubeconfig
            environ.pop("KUBERNETES_SERVICE_HOST", None)
        return open_connection(self.context, environ)


def cluster_options(function: F) -> F:
    function = click.option("--context", metavar="NAME", help="A context of the kubeconfig; else its current one.")(
        function
    )
    return click.option(
        "--kubeconfig", metavar="PATH", type=click.Path(dir_okay=False), help="A kubeconfig; else KUBECONFIG's."
    )(function)


def output_option(function: F) -> F:
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How it is printed."
    )(function)


def timeout_option(seconds: int) -> Callable[[F], F]:
    return click.option(
        "--timeout",
        "timeout_text",
        metavar="DURATION",
        default=f"{seconds // 60}m",
        show_default=True,
        help="How long to wait: 90s, 10m, 1h.",
    )


def seconds_of(text: str, option: str) -> float:
    """Return a duration in seconds.

    Raises:
        click.UsageError: it is none.
    """
    from fluxtrail.model.durations import find_seconds

    seconds = find_seconds(text) if not text.isdecimal() else float(text)
    if seconds is None or seconds < 0:
        raise click.BadParameter(f"{text!r} is no duration; write 90s, 10m or 1h", param_hint=option)
    return seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; Ctrl-C ends it without a word, as shells do it."""
    _log_to_stderr()
    try:
        with suppress(ImportError):
            import uvloop

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(work)
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def _log_to_stderr() -> None:
    """What a library warns of is for people: stdout has nothing but data."""
    import logging
    import sys

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def say(text: str) -> None:
    """Say something for people: on stderr, so that data on stdout stays data."""
    from fluxtrail.cli.words import printable

    click.echo(printable(text), err=True)
