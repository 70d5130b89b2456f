"""How a Flux of a certain age writes revisions, and which API it serves."""

from __future__ import annotations

from enum import StrEnum


class RevisionStyle(StrEnum):
    PRESENT = "present"
    """`main@sha1:<sha>`, since Flux 2.0; digests of what was built in `status.history`."""
    LEGACY = "legacy"
    """`main/<sha>`, and no history."""

    def revision(self, branch: str, sha: str) -> str:
        return f"{branch}/{sha}" if self is RevisionStyle.LEGACY else f"{branch}@sha1:{sha}"

    @property
    def keeps_history(self) -> bool:
        return self is RevisionStyle.PRESENT
