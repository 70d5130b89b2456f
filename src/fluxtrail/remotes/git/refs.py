"""Branches, tags and pins of a clone: reading git's list of them, and names that are safe to write."""

import hashlib
import re
from datetime import datetime

import msgspec

from fluxtrail.model.errors import WireError

PIN_PREFIX = "refs/fluxtrail/"
FORMAT = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """Where a repository's branches and tags point, by their short names."""

    branches: dict[str, str]
    tags: dict[str, str]
    """Each tag's commit; tags of other objects are left out."""
    default_branch: str | None
    fetched_at: datetime | None
    """When the remote was last asked with success (aware UTC), None when never."""
    missing: frozenset[str] = frozenset()
    """Of the wanted commits, those the remote does not have or does not give."""


class RefList(msgspec.Struct, frozen=True, kw_only=True):
    branches: dict[str, str]
    tags: dict[str, str]
    pins: dict[str, str]
    nested_tags: dict[str, str]
    """Tags of tags, by the inner tag's object: to be peeled by reading it."""


def parse_refs(output: bytes) -> RefList:
    """Read `for-each-ref --format=FORMAT`."""
    found = RefList(branches={}, tags={}, pins={}, nested_tags={})
    for line in output.decode("utf-8", "backslashreplace").splitlines():
        fields = line.split("\0")
        if len(fields) != 5:
            continue
        name, sha, kind, peeled, peeled_kind = fields
        if name.startswith("refs/heads/") and kind == "commit":
            found.branches[name.removeprefix("refs/heads/")] = sha
        elif name.startswith(PIN_PREFIX):
            found.pins[name.removeprefix(PIN_PREFIX)] = sha
        elif name.startswith("refs/tags/"):
            short = name.removeprefix("refs/tags/")
            if "commit" in (kind, peeled_kind):
                found.tags[short] = peeled or sha
            elif peeled_kind == "tag":
                found.nested_tags[short] = peeled
    return found


def safe_pin_name(name: str) -> str:
    """Return a ref name part for any text: readable, and distinct for distinct texts.

    Git forbids `..`, `~`, `^`, `:`, spaces, a leading dash or a trailing `.lock` in ref names; a target's name may
    hold them. Six bytes of its hash keep apart what the cleaning makes equal.
    """
    if not name:
        raise WireError("a pin needs a name", subject="pin")
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{_UNSAFE.sub('-', name).strip('-')[:80] or 'pin'}-{digest}"
