"""Which objects have series here: rules by kind, namespace and name, and shards by uid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache

_MASK = 2**64 - 1
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_JUMP = 2862933555777941757


class Rules:
    """Patterns `kind/namespace/name`, with `*` for any part and `?` for any character; what is left out is `*`.

    An object has series where it is kept (some `keep` is met, or there is none) and no `drop` is met.
    """

    def __init__(self, *, keep: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        self._keep = [_compiled(rule) for rule in keep]
        self._drop = [_compiled(rule) for rule in drop]

    def admit(self, kind: str, namespace: str, name: str) -> bool:
        if not self._keep and not self._drop:
            return True
        is_kept = not self._keep or any(_meets(rule, kind, namespace, name) for rule in self._keep)
        return is_kept and not any(_meets(rule, kind, namespace, name) for rule in self._drop)


_Rule = tuple[re.Pattern[str], ...]


@lru_cache(maxsize=1024)
def _compiled(rule: str) -> _Rule:
    return tuple(re.compile(translate(part or "*")) for part in (*rule.split("/"), "", "")[:3])


def _meets(rule: _Rule, kind: str, namespace: str, name: str) -> bool:
    wanted_kind, wanted_namespace, wanted_name = rule
    return bool(wanted_kind.match(kind) and wanted_namespace.match(namespace) and wanted_name.match(name))


class Shard:
    """One of several processes that share the objects by their uids, exactly as kube-state-metrics shares them.

    Source: kube-state-metrics, pkg/sharding (FNV-1a of the uid, jump consistent hash).
    """

    def __init__(self, number: int = 0, total: int = 1) -> None:
        self._number, self._total = number, total

    def has(self, uid: str) -> bool:
        return self._total == 1 or jump_hash(fnv1a(uid.encode()), self._total) == self._number


def fnv1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash. Source: draft-eastlake-fnv."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & _MASK
    return value


def jump_hash(key: int, buckets: int) -> int:
    """Return the bucket of a key; few keys move where buckets are added. Source: Lamping and Veach, 2014."""
    chosen, following = -1, 0
    while following < buckets:
        chosen = following
        key = (key * _JUMP + 1) & _MASK
        following = int((chosen + 1) * (2**31 / ((key >> 33) + 1)))
    return chosen
