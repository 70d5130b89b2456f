"""One writer at a time: with `lease.enabled`, nothing is opened before the lease is held, and nothing outlives it.

Who waits serves `/healthz` and `/readyz` alone: alive, because a restart would not help, and not ready.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.incluster import is_in_cluster, own_namespace
from fluxtrail.clusters.lease import Lease, LeaseLostError
from fluxtrail.runtime.clock import clock_from
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.streams import kube_environ
from fluxtrail.web.health import create_health_app
from fluxtrail.web.server import Listener, WebServer, parse_address
from fluxtrail.web.status import Check

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = 1
"""For probes that are being answered when the waiting ends: the lease is not renewed meanwhile."""


async def run_as_only_writer(
    settings: Settings, environ: Mapping[str, str], work: Callable[[], Awaitable[None]]
) -> None:
    """Run `work`, with the lease held from before its first line to after its last one, where that is switched on.

    A stop signal while waiting ends it without `work`; what `work` does about signals is its own affair.

    Raises:
        LeaseLostError: another process may be writing; `work` was cancelled.
        ConfigError: there can be no such lease.
    """
    if not settings.lease.enabled:
        await work()
        return
    context = None if is_in_cluster(environ) else next(iter(settings.kube_contexts), None)
    async with open_connection(context, kube_environ(environ, settings.kubeconfig)) as connection:
        lease = Lease(
            connection,
            namespace=settings.lease.namespace or own_namespace() or connection.namespace or "default",
            name=settings.lease.name,
            # A restarted process is another one: what the old one had in flight may still arrive.
            identity=f"{socket.gethostname()}_{secrets.token_hex(6)}",
            clock=clock_from(environ),
        )
        try:
            if await _is_acquired(lease, settings):
                await _work_while_held(lease, work)
        finally:
            await lease.release()


async def _is_acquired(lease: Lease, settings: Settings) -> bool:
    """Wait for the lease; False where a stop signal came first."""
    host, port = parse_address(settings.health.listen, subject="setting health.listen")
    listener = Listener(name="health", app=create_health_app(_Waiting(lease)), host=host, port=port)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        async with WebServer([listener], grace_seconds=GRACE_SECONDS) as server, asyncio.TaskGroup() as group:
            log.info("standing by", lease=lease.subject, health=server.addresses["health"].url)
            stopping = group.create_task(stop.wait(), name="stop")
            acquiring = group.create_task(lease.acquire(), name="lease")
            await asyncio.wait((stopping, acquiring), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            acquiring.cancel()
    except BaseExceptionGroup as failures:
        raise _most_telling(failures) from None
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    return not stop.is_set()


async def _work_while_held(lease: Lease, work: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(lease.keep(), name="lease")
            await work()
            keeper.cancel()
    except BaseExceptionGroup as failures:
        raise _most_telling(failures) from None


def _most_telling(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the loss of the lease where it is among them, a single failure as itself, else all of them."""
    single: BaseException = failures
    while isinstance(single, BaseExceptionGroup) and len(single.exceptions) == 1:
        single = single.exceptions[0]
    lost: BaseException | None = failures.subgroup(LeaseLostError)
    while isinstance(lost, BaseExceptionGroup):
        lost = lost.exceptions[0]
    return lost or single


class _Waiting:
    """Satisfies the health side's `Readiness`."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def checks(self) -> Sequence[Check]:
        return [Check(name="lease", is_ok=False, reason=f"{self._lease.subject}: {self._lease.problem or 'acquired'}")]
