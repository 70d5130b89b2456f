"""What git's stderr means, as one table: pure.

Git has no machine-readable errors and one exit code (128) for nearly all of them; with `LC_ALL=C` its words
are stable, and the few that decide what happens next are matched here. Everything else of a network command
is an UpstreamError worth a retry.
"""

from __future__ import annotations

import re

from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, RateLimitedError, StoreError, UpstreamError
from fluxtrail.model.redaction import redact


class CorruptCloneError(StoreError):
    """The clone on disk is damaged: it must be made again. Never leaves this package unhandled by a refresh."""

    retryable_by_default = True


class OutOfRoomError(StoreError):
    """The clone does not fit into what is left of the quota."""


class MovedError(UpstreamError):
    """The server redirects elsewhere. Followed by `mirror.py` where it is the same host, and never by git itself."""

    retryable_by_default = False


class LockedCloneError(StoreError):
    """Another git holds, or a killed one left, a lock file. `lock` is its path."""

    retryable_by_default = True

    def __init__(self, message: str, *, lock: str, subject: str | None = None) -> None:
        super().__init__(message, subject=subject)
        self.lock = lock


_LOCK = re.compile(r"Unable to create '([^']+\.lock)': File exists")
_DISK = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system|File too large")
_CORRUPT = re.compile(
    r"not a git repository|bad config (?:line|file)|object file \S+ is empty|loose object \S+ .*is corrupt"
    r"|packfile \S+ (?:cannot be accessed|is corrupt|.*does not match index)|unable to read (?:tree|sha1 file)"
    r"|error: bad (?:index|signature)|index file \S+ is (?:corrupt|too small)|pack has bad object|bad tree object"
    r"|bad object [0-9a-f]{40}|could not (?:parse|read) commit|corrupt patch|inflate: data stream error"
    r"|unable to parse object|bad object refs/|commit-graph .* corrupt|failed to read object"
    r"|missing object [0-9a-f]+ for refs/|missing object referenced",
    re.IGNORECASE,
)
_RATE = re.compile(r"returned error: 429|rate limit", re.IGNORECASE)
_MOVED = re.compile(r"returned error: 30[1278]")
_AUTH = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied \(|Host key verification failed"
    r"|returned error: 40[13]|Access denied|terminal prompts disabled|Invalid username or|no matching host key",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"Repository not found|repository '[^']*' not found|does not appear to be a git repository"
    r"|returned error: 4(?:04|10)|repository .*does not exist|could not be found or you don't have permission"
    r"|not our ref|unadvertised object"
    r"|object \S+ does not exist|couldn't find remote ref|could not find remote ref",
    re.IGNORECASE,
)


def translate_failure(stderr: str, *, subject: str, secrets: tuple[str, ...] = ()) -> FluxtrailError:
    """Return the error that `stderr` of a failed git command stands for.

    Local damage is looked for first: a full disk in the middle of a fetch also prints network words.
    """
    said = redact(stderr.strip(), secrets=secrets) or "git gave no reason"
    lock = _LOCK.search(stderr)
    if lock:
        return LockedCloneError(f"the clone is locked: {said}", lock=lock.group(1), subject=subject)
    if _DISK.search(stderr):
        return StoreError(f"no room for the clone, free some or move it: {said}", retryable=True, subject=subject)
    if _ABSENT.search(stderr):
        return NotFoundError(f"not found, or hidden from these credentials: {said}", subject=subject)
    if _RATE.search(stderr):
        return RateLimitedError(f"too many requests: {said}", status=429, subject=subject)
    if _AUTH.search(stderr):
        return AuthError(f"access refused, check `credentials` for this host and owner: {said}", subject=subject)
    if _MOVED.search(stderr):
        return MovedError(f"the repository has moved to another address, write the new one: {said}", subject=subject)
    if _CORRUPT.search(stderr):
        return CorruptCloneError(f"the clone is damaged: {said}", subject=subject)
    return UpstreamError(f"git failed: {said}", subject=subject)
