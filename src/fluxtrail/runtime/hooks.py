"""Hooks' wiring: who may post, what is taken in, and who deals with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fluxtrail.model.notices import FluxNotice, Hook, KeptNotice
from fluxtrail.model.records import RepositoryId
from fluxtrail.reports.phases.records import plan_phases
from fluxtrail.reports.routes import RouteKind
from fluxtrail.runtime.ci import project_of, to_rule
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.settings.hooks import AnonymousSetting, SenderSetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.stated import names_of
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.notices.evidence import HOLD_SECONDS, EvidenceTaker, Speaker
from fluxtrail.trail.notices.hints import Hinter
from fluxtrail.trail.notices.pipelines import RunTaker
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
        look: Callable[[FluxNotice, str], None],
        follower: Follower,
        is_watched: Callable[[str], bool],
        clock: Clock,
        look_at_ci: Callable[[RepositoryId], None] = lambda _: None,
    ) -> None:
        """Args:
        poke: look at a repository's branches now.
        look_at_ci: look at the runs of a repository's pipelines now.
        look: see that the watch over an object is alive, in one cluster or, without a name, in all.
        is_watched: whether the cluster of this name is watched: then what is told of it is no evidence.

        Raises:
            ConfigError: a sender cannot be used.
        """
        self._settings = settings
        self._ledger = ledger
        senders = settings.hooks.senders
        clusters = {item.name: item.cluster for item in senders}
        names = names_of(settings)
        hinter = Hinter(
            registry,
            poke=poke,
            look=look,
            clusters=clusters,
            look_at_ci=look_at_ci,
            builders=partial(project_of, settings.ci.repositories),
            names=names,
        )
        runs = RunTaker(
            registry,
            ledger,
            speakers={item.name: item.repository for item in senders},
            rules=[to_rule(item) for item in settings.ci.repositories],
            names=names,
        )
        handlers: list[Handler] = [hinter.handle, runs.handle]
        if self._phase_sinks():
            handlers.append(self._plan_phases)
        self._evidence = EvidenceTaker(
            registry, ledger, follower.observe, speakers=map(_speaker, senders), is_watched=is_watched
        )
        self.worker = NoticeWorker(
            ledger.store.inbox,
            handlers,
            clock=clock,
            ordered=[self._evidence.handle],
            needs_order=self._evidence.is_concerned,
            hold_seconds=HOLD_SECONDS,
        )
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
        return {"hooks": self.app.run, "notices": self._deal}

    async def _deal(self) -> None:
        await self._evidence.retire()
        await self.worker.run()

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
        sinks, url = self._phase_sinks(), self._settings.gitops_connector.app_url or self._settings.public_url
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
    )


def _speaker(item: SenderSetting) -> Speaker:
    return Speaker(name=item.name, cluster=item.cluster, repository=item.repository, path=item.path)


def _anonymous(settings: Settings) -> Iterable[tuple[Hook, int]]:
    stated: tuple[tuple[Hook, AnonymousSetting], ...] = (
        (Hook.GITOPSPHASE, settings.hooks.gitopsphase),
        (Hook.FLUX, settings.hooks.flux),
    )
    return ((hook, item.per_minute) for hook, item in stated if item.anonymous)
