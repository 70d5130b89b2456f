"""What really became of one HelmRelease: every attempt, when its objects were there, and when it was over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fluxtrail.simulator.helm.charts import Chart
from fluxtrail.simulator.truth import Changed, RolledAt, Truth, latest_roll_out
from fluxtrail.simulator.workloads.applying import Applied


class WorkLike(Protocol):
    @property
    def generation(self) -> int: ...

    @property
    def chart(self) -> Chart: ...


@dataclass(slots=True)
class ReleaseAttempt:
    """One action of Helm's on a release: an install or upgrade; remedies are no attempts."""

    generation: int
    chart_version: str
    source_sha: str | None
    """The commit that its chart was packaged from."""
    followed_as: str
    """As `Chart.followed_as`."""
    applied_at: datetime | None = None
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    is_remedied: bool = False
    """It failed, and was rolled back or uninstalled."""
    changed: list[Changed] = field(default_factory=list)


@dataclass(slots=True)
class ReleaseTruth:
    """One HelmRelease on one cluster.

    Args:
        parent: the name of the Kustomization that applies it.
        chart_path: of a chart in the manifests repository; None where it comes from elsewhere.
    """

    cluster: str
    namespace: str
    release: str
    parent: str
    chart_path: str | None
    truth: Truth
    rolled_at: RolledAt
    attempts: list[ReleaseAttempt] = field(default_factory=list)
    fetches: dict[str, datetime] = field(default_factory=dict)
    """`followed_as` of a chart -> when its artifact was first there."""

    @property
    def name(self) -> str:
        return f"HelmRelease/{self.namespace}/{self.release}"

    @property
    def place(self) -> tuple[str, str, str]:
        return "helmreleases", self.namespace, self.release

    def fetched(self, chart: Chart) -> None:
        """The chart's source has an artifact of it."""
        if chart.followed_as not in self.fetches:
            at = self.truth.note("chart_fetched", cluster=self.cluster, target=self.name, sha=chart.followed_as)
            self.fetches[chart.followed_as] = at

    def begin(self, work: WorkLike) -> ReleaseAttempt:
        attempt = ReleaseAttempt(work.generation, work.chart.version, work.chart.source_sha, work.chart.followed_as)
        self.attempts.append(attempt)
        return attempt

    def applied(self, attempt: ReleaseAttempt, applied: Applied) -> None:
        attempt.changed = applied.changed
        attempt.applied_at = self._note("applied", attempt)

    def succeeded(self, attempt: ReleaseAttempt) -> None:
        attempt.succeeded_at = self._note("succeeded", attempt)

    def failed(self, attempt: ReleaseAttempt, reason: str) -> None:
        attempt.failed_at = self._note("failed", attempt, reason)

    def remedied(self, attempt: ReleaseAttempt) -> None:
        attempt.is_remedied = True
        self._note("remedied", attempt)

    def unchanged(self, work: WorkLike) -> None:
        """Another generation that asks for what is there already."""
        attempt = self.begin(work)
        attempt.applied_at = attempt.succeeded_at = self._note("unchanged", attempt)

    def running_at(self, attempt: ReleaseAttempt) -> datetime | None:
        return latest_roll_out(self.rolled_at, attempt.changed, attempt.applied_at)

    def _note(self, kind: str, attempt: ReleaseAttempt, reason: str = "") -> datetime:
        return self.truth.note(
            f"release_{kind}",
            cluster=self.cluster,
            target=self.name,
            generation=attempt.generation,
            chart=attempt.chart_version,
            reason=reason,
        )
