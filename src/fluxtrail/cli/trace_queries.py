"""What somebody may mean by what they trace: a commit, an image, or an object in a cluster. Pure.

A query is read in the ways that its form allows, the likeliest first; the first of them that is known counts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from fluxtrail.model.kinds import CLUSTER_WIDE, find_kind

NO_NAMESPACE = "-"
"""Stands in the API for what has no namespace, or for wherever it is."""
_SHA = re.compile(r"[0-9a-fA-F]{4,64}")
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{4,64})")
_PINNED = re.compile(r"[^@\s]*[/.][^@\s]*@(sha256:[0-9a-fA-F]{4,64})")
"""`ghcr.io/acme/shop@sha256:…`: an image by its digest. Without a `/` or `.` it is a revision: `latest@sha256:…`."""
_TARGETS = frozenset({"Kustomization"})
"""Kinds that a trail is found by as well."""


class Way(Enum):
    TRAIL = "a commit"
    IMAGE = "an image's digest"
    IMAGE_NAME = "an image's name"
    OBJECT = "an object"


class Reading(NamedTuple):
    """One way to read a query."""

    way: Way
    text: str
    """What to ask for: a query for trails, a digest, a part of an image's name, or an object's name."""
    kind: str = ""
    namespace: str = ""
    """Of an object; NO_NAMESPACE where nobody said."""


def read_query(query: str, *, namespace: str | None) -> list[Reading]:
    """Return how `query` may be meant, the likeliest first.

    Args:
        namespace: what `-n` says; then only an object can be meant.
    """
    text = query.strip()
    objects = _objects(text, namespace)
    if namespace is not None:
        return objects
    digest = _DIGEST.fullmatch(text) or _PINNED.fullmatch(text)
    trail = Reading(Way.TRAIL, text)
    if digest is not None:
        return [Reading(Way.IMAGE, digest.group(1).removeprefix("sha256:")), trail]
    if _SHA.fullmatch(text):
        return [trail, Reading(Way.IMAGE, text)]
    if "#" in text or "@" in text:
        return [trail]
    named = Reading(Way.IMAGE_NAME, text)
    if objects and find_kind(objects[0].kind) is not None and "." not in objects[0].kind:
        is_target = _kind_of(objects[0]) in _TARGETS
        return [*objects, trail] if is_target else objects
    return [*objects, named, trail]


def _objects(text: str, namespace: str | None) -> list[Reading]:
    """`kind/name`, `kind/namespace/name`, or with `-n` `kind name` too, as kubectl takes it."""
    parts = text.split("/") if "/" in text else text.split()
    if any(character in text for character in "@#:") or not 2 <= len(parts) <= 3 or not all(parts):
        return []
    kind, name = parts[0], parts[-1]
    place = parts[1] if len(parts) == 3 else namespace or NO_NAMESPACE
    if len(parts) == 3 and namespace not in (None, place):
        return []
    return [Reading(Way.OBJECT, name, kind=kind, namespace=NO_NAMESPACE if _is_wide(kind) else place)]


def _is_wide(kind: str) -> bool:
    known = find_kind(kind)
    return known is not None and known.kind in CLUSTER_WIDE


def _kind_of(reading: Reading) -> str:
    known = find_kind(reading.kind)
    return known.kind if known is not None else ""
