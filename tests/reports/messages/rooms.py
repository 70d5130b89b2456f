"""A channel that keeps messages, and a route that tells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from tests.reports.standings.rooms import GROUPING, Room
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.reports.messages.cards import adaptive_card
from fluxtrail.reports.messages.parts import DEFAULT_TEXT
from fluxtrail.reports.messages.slack import slack_message
from fluxtrail.reports.messages.speaker import ChatSpeaker
from fluxtrail.reports.messages.texts import EscapedText, card_escape, slack_escape
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.budgets import Budget, Window
from fluxtrail.reports.standings.output import PACE, StandingOutput
from fluxtrail.reports.standings.saying import Compose
from fluxtrail.reports.standings.speakers import Speaker
from fluxtrail.reports.standings.words import example_values
from fluxtrail.reports.templates import Text

EXAMPLE = {**example_values(), "environments": [example_values()]}


class Channel:
    """Keeps messages by their names; `troubles` are raised first, one a call."""

    def __init__(self, *, can_edit: bool) -> None:
        self.can_edit = can_edit
        self.messages: dict[str, Mapping[str, Any]] = {}
        self.posted: list[Mapping[str, Any]] = []
        self.edits = 0
        self.troubles: list[FluxtrailError] = []

    async def post(self, message: Mapping[str, Any]) -> str:
        if self.troubles:
            raise self.troubles.pop(0)
        self.posted.append(message)
        if not self.can_edit:
            return ""
        name = f"C1/{len(self.posted)}"
        self.messages[name] = message
        return name

    async def update(self, remote_id: str, message: Mapping[str, Any]) -> bool:
        if self.troubles:
            raise self.troubles.pop(0)
        if remote_id not in self.messages:
            return False
        self.edits += 1
        self.messages[remote_id] = message
        return True


class ChatRoom(Room):
    """One route to one channel."""

    def __init__(
        self,
        ledger: SqlLedger,
        clock: FakeClock,
        *,
        can_edit: bool = True,
        text: str | None = None,
        per_minute: int = 50,
        **route: Any,
    ) -> None:
        self.channel = Channel(can_edit=can_edit)
        self.text = text
        self.limit = per_minute
        kind = RouteKind.SLACK if can_edit else RouteKind.TEAMS
        super().__init__(ledger, clock, **({"name": "deploys", "kind": kind} | route))

    def restart(self, speaker: Speaker | None = None) -> None:
        self.owner += 1
        is_slack = self.route.kind is RouteKind.SLACK
        text = Text(self.text or DEFAULT_TEXT, example=EXAMPLE, subject="text")
        url = Text("{{ url }}", example=EXAMPLE, subject="url")
        compose = Compose(
            self.route,
            GROUPING.environment_of,
            {"text": EscapedText(text, slack_escape if is_slack else card_escape), "url": url},
            public_url="https://trail.example",
            is_once=not self.channel.can_edit,
        )
        render = partial(slack_message if is_slack else adaptive_card, has_own_text=self.text is not None)
        budget = Budget("slack/deploys", (Window(self.limit, timedelta(minutes=1)),))
        self.output = StandingOutput(
            self.route,
            speaker or ChatSpeaker(self.channel, render, budget=budget),
            compose,
            self.trails,
            self.ledger.said,
            self.budgets,
            self.clock,
            settle_after=timedelta(minutes=30),
        )
        self.dispatcher = Dispatcher(
            self.output, self.ledger.outbox, self.clock, owner=f"owner {self.owner}", pace=PACE
        )

    @property
    def shown(self) -> list[str]:
        """The text of what stands in the channel, a message each."""
        found = self.channel.messages.values() if self.channel.can_edit else self.channel.posted
        return [text_of(message) for message in found]


def text_of(message: Mapping[str, Any]) -> str:
    """Return all that a message shows."""
    if "blocks" in message:
        parts = [block.get("text") or block["elements"][0] for block in message["blocks"]]
        return "\n".join(part["text"] for part in parts)
    blocks = [block.get("inlines") or [block] for block in message["body"]]
    return "\n".join("".join(run["text"] for run in runs) for runs in blocks)
