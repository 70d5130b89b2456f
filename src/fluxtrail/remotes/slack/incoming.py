"""An incoming webhook: what is posted there stays as it is.

Source: docs.slack.dev, "Sending messages using incoming webhooks", "Handling errors": plain words, not JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.remotes.posting import Sender
from fluxtrail.remotes.slack.answers import NO_PREVIEWS, refusal
from fluxtrail.remotes.writing import Audit, encode_body, no_audit

_WORD_LIMIT_BYTES = 64


class SlackIncoming:
    """Safe for concurrent callers.

    Args:
        address: gives the webhook's URL, which is a secret, when something is sent. Raises ConfigError.
    """

    can_edit = False

    def __init__(
        self,
        sender: Sender,
        *,
        address: Callable[[], str],
        audit: Audit = no_audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sender = sender
        self._address = address
        self._audit = audit
        self._clock = clock

    async def post(self, message: Mapping[str, Any]) -> str:
        """Post a message; it has no name by which it could be changed. Raises as `SlackBot.post`."""
        url = self._address()
        self._audit("message", self._sender.name)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = await self._sender.post(url, encode_body({**message, **NO_PREVIEWS}), headers)
        if 200 <= answer.status < 300:
            return ""
        word = answer.body[:_WORD_LIMIT_BYTES].decode("utf-8", "replace").strip()
        if answer.status in (403, 404, 410) and word in ("channel_not_found", "channel_is_archived"):
            raise refusal(word, answer, self._sender.name, now=self._clock())
        raise self._sender.refusal(answer, url)

    async def update(self, remote_id: str, message: Mapping[str, Any]) -> bool:
        """Nothing there can be changed."""
        del remote_id, message
        return False
