"""How far a first clone is, read from git's `--progress` lines: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"(?:remote: )?(?P<phase>[A-Z][A-Za-z ]+): +(?P<percent>\d{1,3})% \((?P<done>\d+)/(?P<total>\d+)\)")
_COUNT = re.compile(r"(?:remote: )?(?P<phase>[A-Z][A-Za-z ]+): (?P<done>\d+)(?:, done)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneProgress:
    """One step for people to see. `percent` is None while git does not know the whole."""

    repository: str
    phase: str
    percent: int | None
    done: int
    total: int | None


def parse_progress(line: str, *, repository: str) -> CloneProgress | None:
    r"""Return what one line of stderr (cut at `\r` or `\n`) says of the progress, or None."""
    match = _LINE.match(line)
    if match:
        return CloneProgress(
            repository=repository,
            phase=match["phase"],
            percent=min(int(match["percent"]), 100),
            done=int(match["done"]),
            total=int(match["total"]),
        )
    match = _COUNT.match(line)
    if match is None:
        return None
    return CloneProgress(repository=repository, phase=match["phase"], percent=None, done=int(match["done"]), total=None)
