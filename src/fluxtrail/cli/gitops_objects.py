"""Objects as people name them to the `gitops` commands: `ks/apps`, `hr podinfo web`, `gitrepo flux-system`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fluxtrail.model.kinds import KindName, find_kind
from fluxtrail.model.observation import ObjectKey

_NOTIFICATION = "notification.toolkit.fluxcd.io"
_OTHERS = {
    name: KindName(_NOTIFICATION, kind)
    for kind in ("Alert", "Provider", "Receiver")
    for name in (kind.lower(), f"{kind.lower()}s")
} | {"buckets": KindName("source.toolkit.fluxcd.io", "Bucket")}


def flux_kind(text: str) -> KindName:
    """Return which of Flux's kinds is meant.

    Raises:
        click.UsageError: none of them.
    """
    found = _OTHERS.get(text.strip().lower()) or find_kind(text)
    if found is None or not found.group.endswith(".fluxcd.io"):
        raise click.UsageError(f"{text!r} is none of Flux's kinds; write ks, hr, gitrepo, ocirepo, helmrepo, bucket, …")
    return found


def named_objects(words: Sequence[str], namespace: str) -> list[ObjectKey]:
    """Return the objects that are meant: each word `KIND/NAME`, or one kind and then names.

    Raises:
        click.UsageError: nothing, or no kind.
    """
    if not words:
        raise click.UsageError("name an object: ks/apps, or hr podinfo")
    if any("/" in word for word in words):
        pairs = [word.partition("/") for word in words]
    else:
        kind, *names = words
        if not names:
            raise click.UsageError(f"name an object of {kind}: {kind}/NAME, or {kind} NAME")
        pairs = [(kind, "/", name) for name in names]
    keys = []
    for kind, slash, name in pairs:
        if not slash or not name:
            raise click.UsageError(f"{kind!r} is no object; write KIND/NAME")
        found = flux_kind(kind)
        keys.append(ObjectKey(found.group, found.kind, namespace, name))
    return keys
