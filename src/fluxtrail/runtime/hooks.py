"""Hooks' wiring: who may post, what is taken in, and who deals with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fluxtrail.model.notices import FluxNotice, Hook, KeptNotice
from fluxtrail.model.records import RepositoryId
from fluxtrail.reports.phases.records import plan_phases
from fluxtrail.reports.routes import RouteKind
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.settings import Settings
from fluxtrail.runtime.settings_hooks import AnonymousSetting, SenderSetting
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.notices.hints import Hinter
from fluxtrail.trail.notices.worker import Handler, NoticeWorker
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.web.hooks.app import HooksApp, create_hooks_app
from fluxtrail.web.hooks.senders import Sender
from fluxtrail.web.measures import Kind, Measure


class Hooks:
    """Everything that takes notices in. Build it, serve `app`, run its jobs."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: FoldedLedger,
        registry: Registry,
        poke: Callable[[RepositoryId], None],
        look: Callable[[FluxNotice], None],
        clock: Clock,
    ) -> None:
        """Raises ConfigError: a sender cannot be used."""
        self._settings = settings
        self._ledger = ledger
        handlers: list[Handler] = [Hinter(registry, poke=poke, look=look).handle]
        if self._phase_sinks():
            handlers.append(self._plan_phases)
        self.worker = NoticeWorker(ledger.store.inbox, handlers)
        self.app: HooksApp = create_hooks_app(
            [_sender(item) for item in settings.hooks.senders],
            ledger.store.inbox,
            now=clock.now,
            monotonic=clock.monotonic,
            anonymous=dict(_anonymous(settings)),
            on_kept=self.worker.wake,
        )

    @property
    def jobs(self) -> dict[str, Job]:
        return {"hooks": self.app.run, "notices": self.worker.run}

    def measures(self) -> Iterable[Measure]:
        yield from self.app.measures()
        yield Measure(
            name="fluxtrail_hooks_dealt_with",
            help="Notices that were dealt with.",
            kind=Kind.COUNTER,
            labels=("hook",),
            values=[((hook,), float(count)) for hook, count in self.worker.dealt_with.items()],
        )

    def _phase_sinks(self) -> list[str]:
        """Return who is told step by step."""
        routes = (item for item in self._settings.routes if item.to is RouteKind.SUBSCRIBER)
        return [item.to_route().sink for item in routes if item.source == "phases"]

    async def _plan_phases(self, notices: Sequence[KeptNotice]) -> None:
        sinks, url = self._phase_sinks(), self._settings.public_url
        reports = [report for notice in notices for report in plan_phases(notice, sinks=sinks, callback_url=url)]
        if reports:
            async with self._ledger.unit() as unit:
                await unit.add_reports(reports)


def _sender(item: SenderSetting) -> Sender:
    return Sender(
        name=item.name,
        secret=item.secret.get_secret_value() if item.secret else "",
        secret_file=item.secret_file,
        hooks=frozenset(item.hooks or Hook),
        cluster=item.cluster,
        repository=item.repository,
    )


def _anonymous(settings: Settings) -> Iterable[tuple[Hook, int]]:
    stated: tuple[tuple[Hook, AnonymousSetting], ...] = (
        (Hook.GITOPSPHASE, settings.hooks.gitopsphase),
        (Hook.FLUX, settings.hooks.flux),
    )
    return ((hook, item.per_minute) for hook, item in stated if item.anonymous)
