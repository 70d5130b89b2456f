"""The comments at the top of files that others generated: a licence that all have in common is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fluxtrail.gitops.generate.head import SCANNED_BYTES

_GENERATED = re.compile(r"generated.*do not edit", re.IGNORECASE)


def common_boilerplate(paths: Sequence[str]) -> str:
    """Return the comments that stand at the top of all these files, without what says who wrote them; or nothing."""
    heads = {_head(Path(path)) for path in paths}
    return heads.pop() if len(heads) == 1 else ""


def _head(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            lines = opened.read(SCANNED_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    kept: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            break
        if not _GENERATED.search(line):
            kept.append(line.rstrip())
    text = "\n".join(kept).strip("\n")
    # Between a licence and the line that was taken out stood an empty one.
    return f"{text}\n" if text else ""
