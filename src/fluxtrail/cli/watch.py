"""When a command that watches looks again: on news of the live feed, and now and then without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import click

from fluxtrail.cli.client import AmbiguousError, Client, UnreachableError
from fluxtrail.cli.feed import FeedReader
from fluxtrail.cli.trace import find_trail
from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.model.feed import FeedItem
from fluxtrail.model.views import TrailView

POLL_FIRST_SECONDS = 0.5
POLL_MOST_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 10.0
"""With a feed: messages and the passing of time are no news, so they are looked for."""
GAP_SECONDS = 0.3
"""From one look to the next at least, however much happens."""
INTERRUPTED = 130
_ABOUT_ANY = frozenset({"commit_seen", "branch_rewritten"})


class Pace:
    """Use as `with Pace(client, say) as pace:` around looks, with a `pace.wait` between two of them.

    Args:
        say: told about the feed itself, for people.
    """

    def __init__(self, client: Client, say: Callable[[str], None]) -> None:
        self._feed = FeedReader(client)
        self._say = say
        self._poll_seconds = POLL_FIRST_SECONDS
        self._looked_at = time.monotonic()

    def __enter__(self) -> Pace:
        self._feed.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.__exit__(kind, error, trace)

    def wait(
        self, is_about: Callable[[FeedItem], bool], *, has_changed: bool, is_answered: bool = True, most: float = 3600.0
    ) -> None:
        """Return when it is time to look again.

        Args:
            is_about: whether a line of the feed matters to who waits.
            has_changed: whether the last look showed something new: without a feed, looks get rarer while none does.
            is_answered: whether the last look was answered.
            most: seconds after which to return in any case.
        """
        began = time.monotonic()
        took = began - self._looked_at
        self._poll_seconds = POLL_FIRST_SECONDS if has_changed else min(self._poll_seconds * 1.5, POLL_MOST_SECONDS)
        is_fed = self._feed.is_live and is_answered
        end = began + min(LOOK_AGAIN_SECONDS if is_fed else self._poll_seconds, most)
        while (left := end - time.monotonic()) > 0:
            news = self._feed.wait(left)
            for notice in news.notices:
                self._say(notice)
            if news.is_reset or news.notices or any(is_about(item) for item in news.items):
                # What is asked costs the server as much as us: rest at least for as long as it took.
                time.sleep(max(min(began + max(GAP_SECONDS - took, took), end) - time.monotonic(), 0.0))
                break
        self._looked_at = time.monotonic()


class Looker:
    """Looks at one trail again and again. What was there and is gone is being restarted: it is waited for."""

    def __init__(self, client: Client, query: str) -> None:
        self._client = client
        self._query = query
        self._has_been_answered = False
        self.trail: TrailView | None = None
        """As last seen."""
        self.is_answered = False
        """Whether the last look was."""

    def look(self) -> str:
        """Look; returns why there is no new trail, empty where there is one.

        Raises:
            AmbiguousError: several commits are called so.
            UpstreamError: nobody answers, and never did; or not even later.
        """
        self.is_answered = False
        try:
            self.trail = find_trail(self._client, self._query)
        except NotFoundError:
            self._has_been_answered = self.is_answered = True
            return f"{self._query} is not known yet"
        except AmbiguousError:
            raise
        except UpstreamError as exc:
            if not exc.retryable or (isinstance(exc, UnreachableError) and not self._has_been_answered):
                raise
            return f"no answer now: {exc}"
        self._has_been_answered = self.is_answered = True
        return ""

    def is_about(self, item: FeedItem) -> bool:
        """Whether a line of the feed may change what is looked at."""
        if item.kind in _ABOUT_ANY or self.trail is None:
            return True
        trail = self.trail
        if item.sha is not None and item.sha in (trail.commit.sha, *(export.sha for export in trail.exports)):
            return True
        return item.target_id is not None and any(d.target_id == item.target_id for d in trail.deliveries)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is how watching ends: no word about it, and the exit code of a shell."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
