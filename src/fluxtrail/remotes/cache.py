"""A small HTTP cache for GET answers: fresh ones cost nothing, known ones cost no rate limit (a 304 is free).

RFC 9111 as far as forges use it: `max-age`, `no-cache`, `no-store`, ETag and Last-Modified.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ENTRY_LIMIT_BYTES = 2 * 1024 * 1024
TOTAL_LIMIT_BYTES = 32 * 1024 * 1024
ENTRIES_LIMIT = 4_000

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})")

Key = tuple[str, str, str]
"""URL, `accept`, credential: what one may read, another may not."""


@dataclass(slots=True)
class CachedAnswer:
    headers: Mapping[str, str]
    body: bytes
    fresh_until: float


class AnswerCache:
    """Least recently used answers go first, by count and by bytes.

    Args:
        clock: POSIX seconds.
    """

    def __init__(self, clock: Callable[[], float], *, total_limit_bytes: int = TOTAL_LIMIT_BYTES) -> None:
        self._clock = clock
        self._entries: OrderedDict[Key, CachedAnswer] = OrderedDict()
        self._total_limit_bytes = total_limit_bytes
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key) -> CachedAnswer | None:
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def is_fresh(self, answer: CachedAnswer) -> bool:
        return self._clock() < answer.fresh_until

    def store(self, key: Key, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer of status 200, if it may be kept and can be asked for again cheaply."""
        control = headers.get("cache-control", "").lower()
        has_validator = "etag" in headers or "last-modified" in headers
        self._drop(key)
        if "no-store" in control or not has_validator or len(body) > ENTRY_LIMIT_BYTES:
            return
        self._entries[key] = CachedAnswer(headers, body, self._fresh_until(control))
        self.size_bytes += len(body)
        while len(self._entries) > ENTRIES_LIMIT or self.size_bytes > self._total_limit_bytes:
            self._drop(next(iter(self._entries)))

    def renew(self, answer: CachedAnswer, headers: Mapping[str, str]) -> None:
        """The server said that it has not changed."""
        answer.fresh_until = self._fresh_until(headers.get("cache-control", "").lower())

    def _fresh_until(self, control: str) -> float:
        age = _MAX_AGE.search(control)
        return 0.0 if age is None or "no-cache" in control else self._clock() + int(age.group(1))

    def _drop(self, key: Key) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self.size_bytes -= len(dropped.body)


def validators(answer: CachedAnswer) -> dict[str, str]:
    """Return the request headers that ask whether `answer` still holds."""
    pairs = (("if-none-match", "etag"), ("if-modified-since", "last-modified"))
    return {ask: answer.headers[said] for ask, said in pairs if said in answer.headers}
