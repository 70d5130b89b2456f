"""Names that forges give to pipelines, jobs and people, as they are kept."""

from __future__ import annotations

from fluxtrail.model.redaction import redact

NAME_LIMIT = 200


def short_name(text: str | None) -> str:
    """Return a name cleared of secrets and cut; nothing of what is none."""
    return redact(text or "")[:NAME_LIMIT]
