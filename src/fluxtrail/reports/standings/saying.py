"""One thing to say to one system: a standing, filled into the route's templates, and what makes it the same again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from fluxtrail.model.records import CommitId
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.standing import CommitTrail, Judging, Standing, nothing_here, standings, turns_at
from fluxtrail.model.status import StatusState
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import CommitView
from fluxtrail.reports.routes import Route, RouteKind, Until
from fluxtrail.reports.standings.retired import RetiredClusters
from fluxtrail.reports.standings.sameness import as_meant
from fluxtrail.reports.standings.words import values_of

FINALS_ONLY = frozenset({RouteKind.GITHUB_DISPATCH, RouteKind.AZURE_DEVOPS_TASK})
"""What they say cannot be taken back, or is acted on."""
TOGETHER = frozenset({RouteKind.AZURE_DEVOPS_TASK})
"""What waits is one for all environments: the first of them that is there does not speak for the others."""
DONE = frozenset({StatusState.SUCCESS, StatusState.NEUTRAL})
UNSURE = timedelta(seconds=2)
"""How soon to look again at what is final only until syncs that are known are attributed; mostly a second does it."""
TEST = "test"
"""The environment of a test."""
FIRST_WORDS = {
    RouteKind.GITHUB_DISPATCH: frozenset({StatusState.SUCCESS}),
    RouteKind.AZURE_DEVOPS_TASK: frozenset(state for state in StatusState if state.is_final),
}
"""What a route of this kind says at all, where that is not everything."""


NONE_RETIRED = RetiredClusters()
TROUBLES = frozenset({StatusState.FAILURE, StatusState.ERROR})


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said under one key."""

    key: str
    """`<commit>/<environment>`, or `<commit>` where one message tells of all environments."""
    commit: CommitId
    state: StatusState
    standings: tuple[Standing, ...]
    """One, or those of all environments."""
    values: Mapping[str, Any]
    """What templates are filled in with."""
    texts: Mapping[str, str]
    """The route's templates by name, filled in."""
    meant: Mapping[str, str]
    """The same without what only passes: by this it is known whether it is new."""
    is_once: bool = False
    """It cannot be changed once it is said: only what it comes to makes another one new, not how it is put."""

    @property
    def standing(self) -> Standing:
        """The one that decides: what is worst comes first."""
        return self.standings[0]

    @property
    def content(self) -> str:
        """Two digests, `<marks>.<words>`: of how far each environment is, and of all that a receiver would see."""
        if self.is_once:
            troubles = sorted((one.environment, one.state.value) for one in self._troubles)
            return f"{_digest([self.state.value, troubles])}."
        marks = sorted((one.environment, one.state.value if one.state.is_final else "") for one in self.standings)
        return f"{_digest(marks)}.{_digest([self.state.value, sorted(self.meant.items()), self.values['url']])}"

    def is_as_far_as(self, content: str) -> bool:
        """Whether another content's environments are where these are, whatever is said of them."""
        return self.content.partition(".")[0] == content.partition(".")[0]

    @property
    def _troubles(self) -> list[Standing]:
        return [one for one in self.standings if one.state in TROUBLES]


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """What of a commit is to be said now, and when to look again."""

    sayings: tuple[Saying, ...] = ()
    again_at: datetime | None = None
    """Time alone may change something: a failure that is too young to be told, an end that is not sure yet."""


class Compose:
    """Makes a route's sayings of trails. Pure but for the clock that it is given the time of."""

    def __init__(
        self,
        route: Route,
        environment_of: Any,
        fill: Mapping[str, Any],
        *,
        public_url: str,
        is_once: bool = False,
        retired: RetiredClusters = NONE_RETIRED,
    ) -> None:
        """Args:
        environment_of: (cluster, target) -> environment.
        fill: the route's templates (`reports.templates.Text`) by name.
        is_once: what is said cannot be changed, so that little is said: where a commit has come to, and when that
            becomes something else.
        retired: clusters that nobody follows any more.
        """
        self._route = route
        self.environment_of = environment_of
        self._fill = fill
        self._public_url = public_url
        self._is_once = is_once
        self.retired = retired
        self._judging = Judging(
            until_running=route.until is Until.RUNNING, fail_after=route.fail_after, is_retired=retired.has
        )

    def speech(self, id_: CommitId, trail: CommitTrail, said: Sequence[SaidRecord], now: datetime) -> Speech:
        """Return what is new to say of a commit.

        Args:
            said: everything that was said of it before.

        Raises:
            WireError: the route's templates do not fit.
        """
        route, commit = self._route, trail.view.commit
        if not route.admits_commit(commit.repository, is_carrier=commit.is_carrier):
            return Speech()
        found = self._standings(id_, trail, said, now)
        if route.kind.is_per_commit or route.kind in TOGETHER:
            sayings = [self._of_commit(id_, found)] if found else []
        else:
            sayings = [self._of_environment(id_, standing) for standing in found]
        last = {record.key: record for record in said}
        new = [saying for saying in sayings if self._is_news(saying, last.get(saying.key), now)]
        sure = [saying for saying in new if not any(one.is_unsure for one in saying.standings)]
        turns = [self._again_at(trail, now), now + UNSURE if len(sure) < len(new) else None]
        return Speech(
            sayings=tuple(sorted(sure, key=_finals_first)), again_at=min((at for at in turns if at), default=None)
        )

    def test(self, commit: CommitView) -> Saying:
        """Return something to say of a commit that says it is a test."""
        standing = Standing(commit=commit, environment=TEST, state=StatusState.SUCCESS)
        values = {
            **values_of(standing, public_url=self._public_url),
            "summary": f"a test of the route {self._route.name}",
        }
        values["environments"] = [dict(values)]
        texts = self._filled(values)
        return Saying(
            key=TEST,
            commit=CommitId(0),
            state=standing.state,
            standings=(standing,),
            values=values,
            texts=texts,
            meant=texts,
        )

    def _standings(
        self, id_: CommitId, trail: CommitTrail, said: Sequence[SaidRecord], now: datetime
    ) -> list[Standing]:
        """Return how it stands everywhere, and where it has nothing to do any more: the environment has another name,
        its export left it out, its target is gone. What was well there stays so.
        """
        route = self._route
        found = standings(trail, self.environment_of, judging=self._judging, now=now, admits_target=route.admits_target)
        found = [one for one in found if route.admits_environment(one.environment)]
        here = {one.environment for one in found}
        open_ = {record.key.partition("/")[2] for record in said if "/" in record.key and not _is_well(record)}
        return found + [nothing_here(trail, name) for name in sorted(open_ - here)]

    def _of_environment(self, id_: CommitId, standing: Standing) -> Saying:
        values = values_of(standing, public_url=self._public_url)
        texts = self._filled(values)
        is_in_trouble = standing.state in TROUBLES
        return Saying(
            key=f"{id_}/{standing.environment}",
            commit=id_,
            state=standing.state,
            standings=(standing,),
            values=values,
            texts=texts,
            meant=self._filled(values_of(as_meant(standing), public_url=self._public_url)) if is_in_trouble else texts,
        )

    def _of_commit(self, id_: CommitId, found: Sequence[Standing]) -> Saying:
        ordered = tuple(sorted(found, key=lambda one: (_URGENCY.index(one.state), one.environment)))
        values = self._values_of_all(ordered[0], found)
        texts = self._filled(values)
        meant = texts
        if any(one.state in TROUBLES for one in found):
            meant = self._filled(self._values_of_all(as_meant(ordered[0]), [as_meant(one) for one in found]))
        return Saying(
            key=str(id_),
            commit=id_,
            state=ordered[0].state,
            standings=ordered,
            values=values,
            texts=texts,
            meant=meant,
            is_once=self._is_once,
        )

    def _values_of_all(self, first: Standing, found: Sequence[Standing]) -> dict[str, Any]:
        values = values_of(first, public_url=self._public_url)
        return values | {"environments": [values_of(one, public_url=self._public_url) for one in found]}

    def _filled(self, values: Mapping[str, Any]) -> dict[str, str]:
        return {name: text.fill(values) for name, text in self._fill.items()}

    def _is_news(self, saying: Saying, last: SaidRecord | None, now: datetime) -> bool:
        """Say what changes something for who reads it; what is still under way is repeated seldom."""
        route, state = self._route, saying.state
        if state not in FIRST_WORDS.get(route.kind, frozenset(StatusState)):
            return False
        if not self._is_wanted(saying, last) or (self._is_once and not state.is_final):
            return False
        if last is None:
            if state is StatusState.NEUTRAL:
                return route.says_unaffected
            return state.is_final or route.says_pending
        if last.content == saying.content or (route.kind in FINALS_ONLY and last.content):
            return False
        if not last.content or not saying.is_as_far_as(last.content):
            return True
        if all(one.state in DONE for one in saying.standings):
            return False  # well is well: other words for it are no news
        return now - last.said_at >= route.refresh

    def _is_wanted(self, saying: Saying, last: SaidRecord | None) -> bool:
        """Whether the route's verdicts admit it. What was said once is kept true, and recovery is told in any case."""
        if not self._route.verdicts:
            return True
        if last is not None:
            is_mended = last.state in TROUBLES and saying.state not in TROUBLES
            if is_mended or not self._is_once:
                return True
        deciding = [one for one in saying.standings if one.state is saying.state or one.state in TROUBLES]
        verdicts = {one.verdict for one in deciding if one.speaker is not None}
        return any(self._route.admits_verdict(Verdict(verdict)) for verdict in verdicts)

    def _again_at(self, trail: CommitTrail, now: datetime) -> datetime | None:
        """Return when the next failure that is not told yet is old enough."""
        turns = [turns_at(item, self._judging, now) for item in trail.view.deliveries]
        return min((at for at in turns if at is not None), default=None)


_URGENCY = (
    StatusState.FAILURE,
    StatusState.ERROR,
    StatusState.RUNNING,
    StatusState.PENDING,
    StatusState.SUCCESS,
    StatusState.NEUTRAL,
)


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]


def _is_well(record: SaidRecord) -> bool:
    return bool(record.content) and StatusState(record.state) in DONE


def _finals_first(saying: Saying) -> bool:
    return not saying.state.is_final
