"""What a strategy says of a carrier: the source commits that it was made from."""

from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.records import ExportEvidence

FUTURE_TOLERANCE = timedelta(minutes=2)
"""How far ahead of ours the clock may be that a commit's time comes from."""


class ExportedCommit(msgspec.Struct, frozen=True, kw_only=True):
    sha: str
    summary: str = ""
    author: str = ""
    stated_at: datetime | None = None
    """The commit's own time; None where it was missing or unbelievable."""


class StatedExport(msgspec.Struct, frozen=True, kw_only=True):
    commits: tuple[ExportedCommit, ...]
    build_link: str | None = None
    repository: str | None = None
    """Canonical name of the repository that the commits stand in, where the carrier names it."""
    evidence: ExportEvidence = ExportEvidence.EXPORTER_INFO
    problems: tuple[str, ...] = ()
    """What could not be used, each naming the field and the value."""
