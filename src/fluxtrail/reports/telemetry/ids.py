r"""Trace and span ids that follow from what they name: whoever tells a thing again, tells it under the same id.

Anybody can compute them, so that a pipeline can link to a commit's trace before Fluxtrail has seen the commit:

    trace id   the first 16 bytes of sha256("fluxtrail/trace\n" repository "\n" sha)
    span id    the first 8 bytes of sha256("fluxtrail/span\n" trace id in hex "\n" target "\n" sync "\n" stage)

with the canonical repository (`github.com/acme/shop`), the full sha, and for the commit's own span nothing but
`commit` as the stage. Neither is ever zero, which OpenTelemetry forbids (W3C Trace Context, 3.2.2).
"""

from __future__ import annotations

import hashlib

ROOT_STAGE = "commit"


def trace_id(repository: str, sha: str) -> bytes:
    """Return the 16 bytes of the trace of a commit.

    Args:
        repository: canonical; another form of its URL would give another trace.
        sha: full hex.
    """
    return _digest("trace", repository, sha.lower(), size=16)


def span_id(trace: bytes, *, target: str, sync: int | None, stage: str) -> bytes:
    """Return the 8 bytes of a span.

    Args:
        target: `<cluster uid>/<group>/<kind>/<namespace>/<name>`; empty for the commit's own span.
        sync: the ledger's id of the attempt, None where none is meant.
        stage: the stage that is reached, or how the attempt ended.
    """
    return _digest("span", trace.hex(), target, "" if sync is None else str(sync), stage, size=8)


def root_span_id(trace: bytes) -> bytes:
    """Return the 8 bytes of the commit's own span, the parent of all others."""
    return span_id(trace, target="", sync=None, stage=ROOT_STAGE)


def _digest(kind: str, *parts: str, size: int) -> bytes:
    text = "\n".join((f"fluxtrail/{kind}", *parts))
    found = hashlib.sha256(text.encode()).digest()[:size]
    return found if any(found) else b"\x01" * size
