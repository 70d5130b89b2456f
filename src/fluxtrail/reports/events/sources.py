"""Event reports into bodies, as the ledger has the facts when they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from fluxtrail.model.environments import Grouping
from fluxtrail.model.records import CommitId, SyncId
from fluxtrail.model.report import ClaimedReport
from fluxtrail.model.telling import BuiltImage, DeliveryTelling, TrackedCommit
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.events import cdevents
from fluxtrail.reports.events.choosing import environment_of, is_commit_wanted, is_its_own, is_wanted
from fluxtrail.reports.events.document import EventDocument, Link, seen_document, verdict_document
from fluxtrail.reports.events.ids import event_id
from fluxtrail.reports.events.incidents import Incidents
from fluxtrail.reports.events.known import Known, is_held, key_of, read_contents, read_known
from fluxtrail.reports.events.ports import EventFacts, SaidBook
from fluxtrail.reports.events.purls import commit_purl, image_purl
from fluxtrail.reports.outputs import Ready, Rendering
from fluxtrail.reports.plan import Content, Subject
from fluxtrail.reports.ports import Clock, Facts
from fluxtrail.reports.routes import Route
from fluxtrail.reports.telemetry.ids import trace_id

_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """What a route's events have in common.

    Args:
        instance: the ledger's.
        link: a commit's sha → where people read more of it.
    """

    route: Route
    grouping: Grouping
    instance: str
    link: Link

    def document(
        self, report: ClaimedReport, content: Content, known: Known, *, has_all_verdicts: bool = False
    ) -> EventDocument | None:
        """Return what there is to tell; None where that is gone, or nothing of this route.

        Args:
            has_all_verdicts: of verdicts that the route does not tell, too.
        """
        id_ = event_id(self.instance, report.key, "webhook")
        if content.about is Subject.SEEN:
            whole = known.commits.get(content.commit)
            if whole is None or not is_commit_wanted(self.route, whole.commit):
                return None
            return seen_document(id_, content, whole.commit, link=self.link)
        told = known.delivery(content)
        if told is None or not (
            is_its_own(self.route, self.grouping, told)
            if has_all_verdicts
            else is_wanted(self.route, self.grouping, content, told)
        ):
            return None
        environment = environment_of(told.target, self.grouping)
        return verdict_document(id_, content, told, environment=environment, link=self.link)


class WebhookSource:
    """One document a report."""

    def __init__(self, teller: Teller, facts: Facts, clock: Clock) -> None:
        self._teller = teller
        self._facts = facts
        self._clock = clock

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        """Return what becomes of these. Raises StoreError."""
        done, now = Rendering(), self._clock.now()
        contents = read_contents(reports, done)
        known = await read_known(self._facts, [content for _, content in contents], now=now)
        for report, content in contents:
            if is_held(report, content, known.delivery(content), done, now=now):
                continue
            document = self._teller.document(report, content, known)
            if document is None:
                done.silent.append(report)
            else:
                done.ready.append(Ready(report, [_encode(document)]))
        return done


class CDEventSource:
    """An event a report; two, where a failure is over.

    Args:
        source: whose events they are: a URI.
    """

    def __init__(self, teller: Teller, facts: EventFacts, said: SaidBook, clock: Clock, *, source: str) -> None:
        self._teller = teller
        self._facts = facts
        self._said = said
        self._clock = clock
        self._source = source

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        """Return what becomes of these. Raises StoreError."""
        done, now = Rendering(), self._clock.now()
        contents = read_contents(reports, done)
        bare = [content for _, content in contents]
        commits = [content.commit for content in bare]
        telling = _Telling(
            teller=self._teller,
            source=self._source,
            known=await read_known(self._facts, bare, now=now),
            firsts=await self._facts.first_syncs([one.sync for one in bare if one.sync is not None]),
            images=await self._facts.built_images(commits),
            incidents=await Incidents.read(self._said, self._teller.route.sink, commits, now=now),
        )
        for report, content in contents:
            if is_held(report, content, telling.known.delivery(content), done, now=now):
                continue
            events = telling.events(report, content)
            if events:
                done.ready.append(Ready(report, [_encode(event) for event in events]))
            else:
                done.silent.append(report)
        if telling.incidents.changed:
            await self._said.note(list(telling.incidents.changed.values()))
        return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """One claim's events."""

    teller: Teller
    source: str
    known: Known
    firsts: set[SyncId]
    images: Mapping[CommitId, BuiltImage]
    incidents: Incidents

    def events(self, report: ClaimedReport, content: Content) -> list[cdevents.Json]:
        # A failure that was told must be seen to end, also where nobody wants to know of deployments.
        document = self.teller.document(report, content, self.known, has_all_verdicts=True)
        if document is None:
            return []
        if content.about is Subject.SEEN:
            commit = self.known.commits[content.commit].commit
            return [cdevents.merged_event(self._chain(commit), commit, document)]
        told = self.known.delivery(content)
        assert told is not None, "there is a document of it"
        return self._of_verdict(report, content, told, document)

    def _of_verdict(
        self, report: ClaimedReport, content: Content, told: DeliveryTelling, document: EventDocument
    ) -> list[cdevents.Json]:
        key, chain, artifact = key_of(content), self._chain(told.commit), self._artifact(told.commit)
        assert key is not None
        verdict = content.verdict or told.verdict
        is_told, found = self.teller.route.admits_verdict(verdict), list[cdevents.Json]()
        if verdict is Verdict.FAILED:
            if is_told:
                id_ = self._id(report, cdevents.DETECTED)
                self.incidents.detect(key, id_)
                found.append(cdevents.incident_event(chain, cdevents.DETECTED, id_, document, artifact=artifact))
            return found
        type_ = self._service_type(verdict, content)
        if type_ and is_told:
            found.append(cdevents.service_event(chain, type_, self._id(report, type_), document, artifact=artifact))
        detected = self.incidents.resolve(key, report.key)
        if detected:
            id_ = self._id(report, cdevents.RESOLVED)
            found.append(
                cdevents.incident_event(chain, cdevents.RESOLVED, id_, document, artifact=artifact, detected=detected)
            )
        return found

    def _service_type(self, verdict: Verdict, content: Content) -> str:
        match verdict:
            case Verdict.DEPLOYED:
                return cdevents.DEPLOYED if content.sync in self.firsts else cdevents.UPGRADED
            case Verdict.ROLLED_BACK:
                return cdevents.ROLLED_BACK
            case _:
                return ""  # lost, abandoned: nothing of the service has changed

    def _id(self, report: ClaimedReport, type_: str) -> str:
        return event_id(self.teller.instance, report.key, type_)

    def _chain(self, commit: TrackedCommit) -> cdevents.Chain:
        # Not by its report's key: what links to it does not know that.
        place = trace_id(commit.repository, commit.sha).hex()
        merged = event_id(self.teller.instance, place, cdevents.MERGED)
        return cdevents.chain_of(commit, source=self.source, merged=merged)

    def _artifact(self, commit: TrackedCommit) -> str:
        image = self.images.get(commit.id)
        return image_purl(image) if image is not None else commit_purl(commit)
