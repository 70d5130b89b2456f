"""A bot's messages: posted once, then changed in place.

Source: docs.slack.dev, chat.postMessage, chat.update
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.remotes.posting import Posted, Sender
from fluxtrail.remotes.slack.answers import GONE, NO_PREVIEWS, SlackAnswer, read_answer, refusal
from fluxtrail.remotes.writing import Audit, encode_body, no_audit

API_URL = "https://slack.com/api"
BETWEEN = "/"
"""Parts a message's name: `<channel id>/<ts>`."""


class SlackBot:
    """Safe for concurrent callers.

    Args:
        channel: a name with `#`, or an id.
        token: gives the bot's token when something is sent. Raises ConfigError.
        clock: POSIX seconds.
    """

    can_edit = True

    def __init__(
        self,
        sender: Sender,
        *,
        channel: str,
        token: Callable[[], str],
        api_url: str = API_URL,
        audit: Audit = no_audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sender = sender
        self._channel = channel
        self._token = token
        self._api_url = api_url.rstrip("/")
        self._audit = audit
        self._clock = clock

    async def post(self, message: Mapping[str, Any]) -> str:
        """Post a message and return its name, `<channel id>/<ts>`.

        Raises:
            UpstreamError: its kin; a `retryable` one may have been taken.
            ConfigError: the token cannot be read.
        """
        self._audit("message", f"{self._sender.name} {self._channel}")
        said = await self._call("chat.postMessage", {**message, **NO_PREVIEWS, "channel": self._channel})
        if not isinstance(said.channel, str) or not isinstance(said.ts, str):
            raise UpstreamError(
                "it was posted, but Slack does not say where", retryable=False, subject=self._sender.name
            )
        return f"{said.channel}{BETWEEN}{said.ts}"

    async def update(self, remote_id: str, message: Mapping[str, Any]) -> bool:
        """Change a message; False where it cannot be changed any more. Raises as `post`."""
        channel, _, ts = remote_id.partition(BETWEEN)
        if not channel or not ts:
            return False
        self._audit("message changed", f"{self._sender.name} {self._channel}")
        said = await self._call("chat.update", {**message, "channel": channel, "ts": ts}, but=GONE)
        return said.ok

    async def _call(self, method: str, body: Mapping[str, Any], *, but: frozenset[str] = frozenset()) -> SlackAnswer:
        """Call a method of the API; words of `but` are no errors."""
        token = self._token()
        url = f"{self._api_url}/{method}"
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json; charset=utf-8",
        }
        answer = await self._sender.post(url, encode_body(body), headers)
        said = self._read(answer, url, token)
        if not said.ok and said.error not in but:
            raise refusal(said.error or "", answer, self._sender.name, now=self._clock())
        return said

    def _read(self, answer: Posted, url: str, token: str) -> SlackAnswer:
        is_good = 200 <= answer.status < 300
        if not is_good:
            raise self._sender.refusal(answer, url, secrets=(token,))
        try:
            return read_answer(answer, self._sender.name)
        except WireError as exc:
            raise UpstreamError(f"it may have been taken, but {exc.message}", subject=exc.subject) from exc
