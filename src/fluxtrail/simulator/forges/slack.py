"""Slack: messages, their changes in place, and incoming webhooks. Its API refuses with 200 and `"ok": false`.

Source: docs.slack.dev, "Rate limits": one message a second and channel, short bursts apart; other calls of tier 3,
50 a minute; 429 comes with `Retry-After`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.forges.limits import Window
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service

POSTS_PER_SECOND = 1.0
_BURST_SECONDS = 10.0
"""Over which a channel's messages may bunch."""
UPDATES_PER_MINUTE = 50
TEXT_LIMIT = 40_000
_WEBHOOK = "/slack/services/{team}/{app}/{secret}"


class Slack(Service):
    """Args:
    channels: that the app is in, by name or id; empty: every channel.
    """

    system: ClassVar[str] = "slack"

    def __init__(self, desk: Desk, *, channels: Mapping[str, str] | None = None) -> None:
        super().__init__(desk)
        self.channels = dict(channels or {})
        self.messages: dict[tuple[str, str], Json] = {}
        """(channel, ts) -> the message as it is now."""
        self.archived: set[str] = set()
        self._windows: dict[str, Window] = defaultdict(
            lambda: Window(POSTS_PER_SECOND * _BURST_SECONDS, seconds=_BURST_SECONDS)
        )
        self._updates: dict[str, Window] = defaultdict(lambda: Window(UPDATES_PER_MINUTE, seconds=60))
        self._numbers = itertools.count(1)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/slack/api/chat.postMessage", self.answering("post_message", self._post))
        router.add_post("/slack/api/chat.update", self.answering("update_message", self._update))
        router.add_post(_WEBHOOK, self.answering("webhook", self._webhook))

    def error(self, status: int, message: str) -> Any:
        """The API speaks JSON, webhooks plain words."""
        if status == 429:
            return {"ok": False, "error": "ratelimited"}
        return {"ok": False, "error": "invalid_auth"} if status == 401 else message

    def _post(self, asked: Asked) -> Answer:
        if problem := self._problem(asked):
            return _refusal(problem)
        channel = self._channel(asked)
        self._limit(asked, self._windows[channel], "per_second", f"messages to {channel}")
        ts = f"{int(asked.now.timestamp())}.{next(self._numbers):06d}"
        message = {"type": "message", "text": asked.text("text"), "blocks": asked.body.get("blocks"), "ts": ts}
        self.messages[channel, ts] = message
        self._note(asked, channel, ts, call="post_message")
        return Answer(200, {"ok": True, "channel": channel, "ts": ts, "message": message})

    def _update(self, asked: Asked) -> Answer:
        if problem := self._problem(asked):
            return _refusal(problem)
        channel, ts = self._channel(asked), asked.text("ts")
        self._limit(asked, self._updates[asked.token], "per_minute", "updates")
        message = self.messages.get((channel, ts))
        if message is None:
            return _refusal("message_not_found")
        message |= {"text": asked.text("text"), "blocks": asked.body.get("blocks")}
        self._note(asked, channel, ts, call="update_message")
        return Answer(200, {"ok": True, "channel": channel, "ts": ts, "text": message["text"], "message": message})

    def _problem(self, asked: Asked) -> str:
        """Return Slack's word for what is wrong, or nothing."""
        if not isinstance(asked.body, dict):
            return "invalid_json"
        channel, text = asked.text("channel"), asked.text("text")
        if not asked.token:
            return "not_authed"
        if self.channels and channel not in (*self.channels, *self.channels.values()):
            return "channel_not_found"
        if self._channel(asked) in self.archived:
            return "is_archived"
        if not text and not asked.body.get("blocks"):
            return "no_text"
        return "msg_too_long" if len(text) > TEXT_LIMIT else ""

    def _channel(self, asked: Asked) -> str:
        """Return the id of a channel, which is what answers name and updates want."""
        name = asked.text("channel")
        return self.channels.get(name, name)

    def _limit(self, asked: Asked, window: Window, kind: str, what: str) -> None:
        if window.spend(asked.now):
            return
        self.violate(asked, kind, f"{window.used(asked.now):g} {what} in {window.seconds:g} s")
        raise RefusedError(429, "ratelimited", {"Retry-After": str(int(window.wait_seconds(asked.now)) + 1)})

    def _webhook(self, asked: Asked) -> Answer:
        if not isinstance(asked.body, dict):
            raise RefusedError(400, "invalid_payload")
        if not asked.body.get("text") and not asked.body.get("blocks"):
            raise RefusedError(400, "no_text")
        place = f"{asked.part('team')}/{asked.part('app')}"
        if place in self.archived:
            raise RefusedError(410, "channel_is_archived")
        self._limit(asked, self._windows[place], "per_second", f"messages to {place}")
        self._note(asked, place, "", call="webhook")
        return Answer(200, "ok")

    def _note(self, asked: Asked, channel: str, ts: str, *, call: str) -> None:
        facts = {"context": channel, "description": asked.text("text"), "id": ts}
        self.recorder.write(at=asked.now, system=self.system, call=call, **facts)


def _refusal(word: str) -> Answer:
    return Answer(200, {"ok": False, "error": word})
