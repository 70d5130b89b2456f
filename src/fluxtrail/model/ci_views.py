"""What is asked of the ledger about CI beyond a trail: what commits came from, and what is applied where."""

from datetime import datetime

import msgspec

from fluxtrail.model.ci import CiRun, PullRequest


class OriginExport(msgspec.Struct, frozen=True, kw_only=True):
    """A commit to a manifests repository that carries a source commit."""

    sha: str
    repository: str
    committed_at: datetime | None = None
    build_link: str = ""
    is_stated: bool = False
    """Known by a run of the source commit alone."""
    runs: tuple[CiRun, ...] = ()
    """Of pipelines of the manifests repository, for this commit."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a commit came from and went to before Flux: its runs, its pull request, its exports; the first first."""

    repository: str
    sha: str
    branch: str = ""
    runs: tuple[CiRun, ...] = ()
    pull_request: PullRequest | None = None
    exports: tuple[OriginExport, ...] = ()
    exported_at: datetime | None = None
    """By a run of its own, or of a later commit of its branch."""

    @property
    def read_exports(self) -> tuple[OriginExport, ...]:
        """Those that are known otherwise than by a run: of what is stated, each run says what it made itself."""
        return tuple(export for export in self.exports if not export.is_stated)


class AppliedHead(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that is applied on a cluster now, by one of its targets at least."""

    cluster: str
    repository: str
    sha: str
    at: datetime
    """When it was applied, as far as that is known; else when it was first seen to be."""
    targets: int = 1


class SyncLine(msgspec.Struct, frozen=True, kw_only=True):
    """One sync, as a line about its commit."""

    sha: str
    reason: str
    message: str
    kind: str
    """Of the target."""
    at: datetime
