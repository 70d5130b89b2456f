"""One attempt to say something, remembered before it is made: who comes after knows that its outcome is not known.

Whoever is killed after a deployment was made, and before its name was noted, must not make another one; and a report
that is planned anew meanwhile has forgotten its earlier attempts. So it stands among what was said, without a content,
from the first write until the last answer. What was not even begun, for want of a budget, leaves nothing.
"""

from __future__ import annotations

from fluxtrail.model.report import SaidRecord
from fluxtrail.reports.ports import Clock
from fluxtrail.reports.standings.ports import SaidBook
from fluxtrail.reports.standings.saying import Saying

NOT_KNOWN = ""
"""The content of what may have been said."""


class Attempt:
    """Use it for one saying, once."""

    def __init__(self, saying: Saying, last: SaidRecord | None, *, sink: str, said: SaidBook, clock: Clock) -> None:
        self._saying = saying
        self._last = last
        self._sink = sink
        self._said = said
        self._clock = clock
        self._remote_id = last.remote_id if last is not None else ""
        self.times = last.times if last is not None else 0
        """How often something was, or may have been, said under this key."""
        self.has_begun = False

    @property
    def is_unsure(self) -> bool:
        """Whether an earlier one may have been taken."""
        return self._last is not None and self._last.content == NOT_KNOWN

    async def begin(self) -> None:
        """Call it before each write. Raises StoreError, and nothing may be written then."""
        if not self.has_begun:
            self.has_begun = True
            self.times += 1
            await self._note_not_known()

    async def keep(self, remote_id: str) -> None:
        """The receiver has made something of this name. Raises StoreError."""
        self._remote_id = remote_id
        await self._note_not_known()

    async def end(self, remote_id: str) -> None:
        """It is said; the receiver's own name of it, if it has one. Raises StoreError."""
        self._remote_id = remote_id or self._remote_id
        await self._note(content=self._saying.content, state=self._saying.state.value)

    async def _note_not_known(self) -> None:
        """What was said for sure before stands, as far as anybody knows."""
        state = self._last.state if self._last is not None else self._saying.state.value
        await self._note(content=NOT_KNOWN, state=state)

    async def _note(self, *, content: str, state: str) -> None:
        record = SaidRecord(
            sink=self._sink,
            key=self._saying.key,
            content=content,
            state=state,
            remote_id=self._remote_id,
            times=self.times,
            said_at=self._clock.now(),
        )
        await self._said.note([record])
