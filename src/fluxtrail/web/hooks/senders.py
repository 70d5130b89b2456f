"""Who may post to us: senders, each with a secret, and the hooks that it may use.

A secret that is rotated is two for a while: nobody changes it on both sides at one instant. So each line is a secret,
and all of them count; the old one is taken out when no one uses it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.notices import Hook
from fluxtrail.web.hooks.signatures import Proof

log = structlog.get_logger(__name__)

SECRET_MIN_LENGTH = 16
MOST_SECRETS = 5
"""Of one sender: each costs a digest of what is posted."""
REREAD_SECONDS = 1.0
"""A rotated secret counts at the latest after this; looking at each file for each request would cost too much."""


@dataclass(frozen=True, kw_only=True)
class Sender:
    """One who posts, by the name that its notices carry."""

    name: str
    secret: str = field(default="", repr=False)
    """One in each line."""
    secret_file: Path | None = None
    """In its place: a file that may be rotated; one in each line, too."""
    hooks: frozenset[Hook] = frozenset(Hook)


class Senders:
    """Finds whose secret a request was made with.

    Raises:
        ConfigError: two of one name, one without a name or a secret, with a secret too short to be one, or with more
            than `MOST_SECRETS`.
    """

    def __init__(self, senders: Sequence[Sender], monotonic: Callable[[], float]) -> None:
        self._senders = tuple(senders)
        self._monotonic = monotonic
        self._files = SecretFiles()
        self._held: dict[str, tuple[bytes, ...]] = {}
        self._read_at = monotonic()
        self._refused: set[str] = set()
        names = [sender.name for sender in senders]
        for sender in senders:
            if not sender.name or names.count(sender.name) > 1:
                raise ConfigError(f"{sender.name!r} is the name of no or of several senders", subject="hooks.senders")
            self._held[sender.name] = self._secrets_of(sender)

    def find(self, hook: Hook, proof: Proof, body: bytes) -> Sender | None:
        """Return the sender whose secret the proof was made with, or None.

        Costs a digest of the body for each secret of a sender that may use the hook. May be called in any thread.
        """
        for sender, secret in self._of(hook):
            if proof.is_of(secret, body):
                return sender
        return None

    def count(self, hook: Hook) -> int:
        """Return how many secrets are tried."""
        return sum(1 for _ in self._of(hook))

    def _of(self, hook: Hook) -> Iterator[tuple[Sender, bytes]]:
        for sender in self._senders:
            if hook in sender.hooks:
                for secret in self._held[sender.name]:
                    yield sender, secret

    def refresh(self) -> None:
        """Look whether secrets were rotated; not more often than once a second."""
        now = self._monotonic()
        if now - self._read_at < REREAD_SECONDS:
            return
        self._read_at = now
        for sender in self._senders:
            if sender.secret_file is None:
                continue
            try:
                self._held[sender.name] = self._secrets_of(sender)
                self._refused.discard(sender.name)
            except ConfigError as exc:
                # The one that it had goes on: whoever is refused meanwhile does not come again.
                if sender.name not in self._refused:
                    self._refused.add(sender.name)
                    log.warning("hook_secret_unusable", sender=sender.name, error=str(exc))

    def _secrets_of(self, sender: Sender) -> tuple[bytes, ...]:
        subject = f"hooks.senders {sender.name}"
        if bool(sender.secret) == (sender.secret_file is not None):
            raise ConfigError("give it either secret_file or secret", subject=subject)
        text = self._files.read(sender.secret_file) if sender.secret_file is not None else sender.secret
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not 0 < len(lines) <= MOST_SECRETS:
            raise ConfigError(
                f"it has {len(lines)} secrets, one in each line; it may have 1 to {MOST_SECRETS}: take out those "
                "that nobody uses any more",
                subject=subject,
            )
        short = min(lines, key=len)
        if len(short) < SECRET_MIN_LENGTH:
            raise ConfigError(
                f"its secret has {len(short)} characters, at least {SECRET_MIN_LENGTH} are needed; "
                "make one with `openssl rand -hex 32`",
                subject=subject,
            )
        return tuple(line.encode() for line in dict.fromkeys(lines))
