"""Posts bodies to a receiver of webhooks, signed where it has a secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.remotes.posting import Sender
from fluxtrail.remotes.webhooks.headers import HeadersFile
from fluxtrail.remotes.webhooks.signing import signature_headers
from fluxtrail.remotes.writing import Audit, no_audit


class WebhookPoster:
    """Safe for concurrent callers. Files are read when something is sent: they may change.

    Args:
        secret_file: signs; without one nothing is signed.
        headers_file: `Name: value` lines; they win over what is sent otherwise, but for the signature.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        secret_file: Path | None = None,
        headers_file: Path | None = None,
        audit: Audit = no_audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sender = sender
        self._files = SecretFiles()
        self._secret_file = secret_file
        self._headers = HeadersFile(headers_file, self._files) if headers_file is not None else None
        self._audit = audit
        self._clock = clock

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Post once; whatever is 2xx is taken.

        Raises:
            UpstreamError: its kin as `Sender.refusal` has them; `retryable` says that asking again may help.
            ConfigError: a file or the address cannot be used; nothing was sent.
        """
        extra = self._headers.load() if self._headers is not None else {}
        shown = _merged(headers, extra)
        if self._secret_file is not None:
            secret = self._files.read(self._secret_file)
            shown = _merged(shown, signature_headers(secret, body, now=self._clock()))
        self._audit("webhook", self._sender.name)
        answer = await self._sender.post(url, body, shown)
        if not 200 <= answer.status < 300:
            # A file's text is one secret, each header's value another, and so is what stands behind `Bearer `.
            values = [part for value in extra.values() for part in (value, *value.split())]
            raise self._sender.refusal(answer, url, secrets=(*self._files.secrets, *values))


def _merged(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return both; names differ in more than case, and the second's win."""
    won = {name.lower() for name in second}
    return {**{name: value for name, value in first.items() if name.lower() not in won}, **second}
