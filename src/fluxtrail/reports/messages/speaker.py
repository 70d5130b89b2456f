"""Tells a chat of a commit: one message, changed in place where the chat can do that.

A message whose answer got lost cannot be looked for, so it may be posted twice; all later changes go to the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.model.report import SaidRecord
from fluxtrail.reports.messages.ports import Messenger
from fluxtrail.reports.standings.budgets import Budget
from fluxtrail.reports.standings.ports import Keep, Spend
from fluxtrail.reports.standings.saying import Saying


class ChatSpeaker:
    """A `Speaker`. Anybody's commits are told: the route says which.

    Args:
        render: a saying into the chat's message.
    """

    def __init__(self, messenger: Messenger, render: Callable[[Saying], Mapping[str, Any]], *, budget: Budget) -> None:
        self._messenger = messenger
        self._render = render
        self._budget = budget

    def budget_of(self, repository: str) -> Budget | None:
        """One channel's allowance, whatever the repository."""
        del repository
        return self._budget

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        """Change the commit's message, or post it; returns its name. See `Speaker.say`."""
        del keep, is_unsure
        message, known = self._render(saying), last.remote_id if last is not None else ""
        if known and self._messenger.can_edit:
            await spend()
            if await self._messenger.update(known, message):
                return known
        await spend()
        return await self._messenger.post(message)

    async def try_out(self, saying: Saying) -> str:
        """Post a message that says it is a test."""
        await self._messenger.post(self._render(saying))
        return "posted a message that says it is a test"
