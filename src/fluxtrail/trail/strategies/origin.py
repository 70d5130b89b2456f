"""`origin`: the commit that an artifact was made from, as its maker annotated it.

Source: annotations `org.opencontainers.image.revision` and `…source` of the OCI image specification, which Flux copies
to `status.artifact.metadata`; `flux push artifact` writes `main@sha1:<hex>`, other tools a bare sha.
"""

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import ExportEvidence
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import followed_sha
from fluxtrail.trail.strategies.stated import ExportedCommit, StatedExport


def export_of_origin(origin: str | None, url: str | None) -> StatedExport | None:
    """Return the origin as what the artifact was made from, or None where it names no commit."""
    sha = followed_sha(None, origin)
    if sha is None:
        return None
    return StatedExport(commits=(ExportedCommit(sha=sha),), repository=_canonical(url), evidence=ExportEvidence.ORIGIN)


def _canonical(url: str | None) -> str | None:
    try:
        return parse_repository(url).canonical if url else None
    except WireError:
        return None
