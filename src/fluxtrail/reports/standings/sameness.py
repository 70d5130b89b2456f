"""What of a failure's words is only the hour at which it was looked at. Pure.

Flux tries again for ever, and each time words the same failure a little differently: after how long, for which attempt,
on which pod, from which port. Whoever reads it learns nothing by that, so it is no reason to say it again.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fluxtrail.model.standing import Standing

ANY: Final = "#"

_PASSING: Final = re.compile(
    r"""
    \d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?          # when
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b                          # which request
    | \b\d{1,3}(?:\.\d{1,3}){3}:\d+(?=->)                                      # from which port
    | (?<=[a-z0-9])-[0-9a-f]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b          # which pod of a ReplicaSet
    | (?<![\w.@:/-])(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+(?![\w-])         # for how long
    | (?<![\w.@:/-])(?<!code\ )(?<!status\ )\d+(?:/\d+)?(?![\w:-])(?!\.\d)     # how often, how many
    """,
    re.VERBOSE,
)
"""Go's `time.Duration.String`, RFC 3339, the names of ReplicaSets' pods (the alphabet of apimachinery's `rand.String`).
Versions, digests, exit codes and HTTP statuses are not among these: another one is another failure."""


def without_passing(text: str) -> str:
    """Return a text with everything replaced that changes by itself from one attempt to the next."""
    return _PASSING.sub(ANY, text)


def as_meant(standing: Standing) -> Standing:
    """Return a standing as it compares with what was said before: its words without what passes."""
    replace = msgspec.structs.replace
    speaker, stuck = standing.speaker, standing.stuck
    return replace(
        standing,
        speaker=replace(speaker, message=without_passing(speaker.message)) if speaker is not None else None,
        stuck=replace(stuck, message=without_passing(stuck.message)) if stuck is not None else None,
    )
