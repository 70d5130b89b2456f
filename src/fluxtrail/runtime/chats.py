"""Chats' wiring: a route's channel, what its messages say, and how many there may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.posting import Sender
from fluxtrail.remotes.slack.bot import API_URL, SlackBot
from fluxtrail.remotes.slack.incoming import SlackIncoming
from fluxtrail.remotes.teams.workflow import TeamsWorkflow
from fluxtrail.reports.messages.cards import adaptive_card
from fluxtrail.reports.messages.parts import DEFAULT_TEXT
from fluxtrail.reports.messages.ports import Messenger
from fluxtrail.reports.messages.slack import slack_message
from fluxtrail.reports.messages.speaker import ChatSpeaker
from fluxtrail.reports.messages.texts import EscapedText, card_escape, slack_escape
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.budgets import Budget, Window
from fluxtrail.reports.templates import Text
from fluxtrail.runtime.sessions import Sessions
from fluxtrail.runtime.settings.routes import BudgetsSetting, RouteSetting, check_url
from fluxtrail.runtime.settings.templates import template_values
from fluxtrail.runtime.writers import audit

MINUTE = timedelta(minutes=1)
BURST = Window(5, timedelta(seconds=5))
"""Slack takes one message a second and channel, Teams four; short bursts are let through."""
DEFAULT_URL = "{{ url }}"


def is_once(item: RouteSetting) -> bool:
    """Whether what is said on a route cannot be changed."""
    return item.to is RouteKind.TEAMS or (item.to is RouteKind.SLACK and item.token_file is None)


def chat_templates(item: RouteSetting) -> dict[str, EscapedText | Text]:
    """Return what a chat's messages are filled into. Raises ConfigError."""
    escape = slack_escape if item.to is RouteKind.SLACK else card_escape
    example, subject = template_values(), f"setting routes.{item.name}"
    text = Text(item.text or DEFAULT_TEXT, example=example, subject=f"{subject}.text")
    url = Text(item.url if item.url is not None else DEFAULT_URL, example=example, subject=f"{subject}.url")
    return {"text": EscapedText(text, escape), "url": url}


def chat_speaker(item: RouteSetting, sessions: Sessions, budgets: BudgetsSetting) -> ChatSpeaker:
    """Return who tells the route's channel."""
    sender = Sender(sessions.to, name=f"route {item.name}")
    own = item.text is not None
    if item.to is RouteKind.TEAMS:
        messenger: Messenger = TeamsWorkflow(sender, address=address_of(item), audit=audit)
        budget = Budget(f"teams/{item.name}", (Window(budgets.teams_per_minute, MINUTE), BURST))
        return ChatSpeaker(messenger, partial(adaptive_card, has_own_text=own), budget=budget)
    limit = (Window(budgets.slack_per_minute, MINUTE), BURST)
    render: Callable[..., Mapping[str, Any]] = partial(slack_message, has_own_text=own)
    if is_once(item):
        messenger = SlackIncoming(sender, address=address_of(item), audit=audit)
        return ChatSpeaker(messenger, render, budget=Budget(f"slack/{item.name}", limit))
    assert item.channel is not None
    assert item.token_file is not None
    token = partial(SecretFiles().read, item.token_file)
    messenger = SlackBot(sender, channel=item.channel, token=token, api_url=item.api_url or API_URL, audit=audit)
    return ChatSpeaker(messenger, render, budget=Budget(f"slack/{item.channel.lstrip('#').lower()}", limit))


def address_of(item: RouteSetting) -> Callable[[], str]:
    """Return what gives a route's address when something is sent: a file's may change. It raises ConfigError."""
    if item.address_file is not None:
        return partial(_read_address, SecretFiles(), item.address_file)
    assert item.address is not None
    return item.address.get_secret_value


def _read_address(files: SecretFiles, path: Path) -> str:
    text = files.read(path)
    try:
        check_url(text)
    except ValueError as exc:
        raise ConfigError(f"the file {exc}", subject=str(path)) from exc
    return text
