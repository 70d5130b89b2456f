"""The webhook of a Teams workflow: takes adaptive cards, and answers 202 before it has shown anything.

Source: learn.microsoft.com, "Create incoming webhooks with Workflows": four requests a second, 28 KB a message; a
refusal may come with 200 and words ("HTTP error 429") from the older connectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.model.errors import RateLimitedError, UpstreamError
from fluxtrail.remotes.posting import Posted, Sender
from fluxtrail.remotes.writing import Audit, encode_body, no_audit

CARD = "application/vnd.microsoft.card.adaptive"
LATER_SECONDS = 5.0
_OLD_ERROR = re.compile(rb"HTTP error (\d{3})")


class TeamsWorkflow:
    """Safe for concurrent callers.

    Args:
        address: gives the workflow's URL, which is a secret, when something is sent. Raises ConfigError.
    """

    can_edit = False

    def __init__(self, sender: Sender, *, address: Callable[[], str], audit: Audit = no_audit) -> None:
        self._sender = sender
        self._address = address
        self._audit = audit

    async def post(self, message: Mapping[str, Any]) -> str:
        """Post an adaptive card; it cannot be changed.

        Raises:
            UpstreamError: its kin; a `retryable` one may have been taken.
            ConfigError: the address cannot be read.
        """
        url = self._address()
        body = {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": message}]}
        self._audit("card", self._sender.name)
        headers = {"Content-Type": "application/json"}
        answer = await self._sender.post(url, encode_body(body), headers)
        if not 200 <= answer.status < 300:
            raise self._sender.refusal(answer, url)
        self._check_words(answer, url)
        return ""

    async def update(self, remote_id: str, message: Mapping[str, Any]) -> bool:
        """Nothing there can be changed."""
        del remote_id, message
        return False

    def _check_words(self, answer: Posted, url: str) -> None:
        found = _OLD_ERROR.search(answer.body[:2048])
        if found is None:
            return
        status, said = int(found[1]), self._sender.said(answer.body, url)
        if status == 429:
            raise RateLimitedError(
                f"Teams asks to wait: {said}", status=429, retry_after_seconds=LATER_SECONDS, subject=self._sender.name
            )
        raise UpstreamError(
            f"Teams did not take it: {said}", status=status, retryable=status >= 500, subject=self._sender.name
        )
