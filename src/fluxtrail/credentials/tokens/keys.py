"""What a token is kept under: a digest of all that makes the identity, secrets too, so that a rotated one is a miss."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.credentials.files import SecretFiles


def digest(**parts: object) -> str:
    """Return the SHA-256 of the parts, as Flux makes its keys: `name=value`, one a line.

    Line breaks within a value are escaped: two identities never come to the same text.
    """
    lines = [f"{name}={'' if value is None else str(value)!r}" for name, value in sorted(parts.items())]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def subject_of(proof: str) -> str:
    """Return whom a service account's token stands for, and the token itself where it does not tell.

    Kubernetes replaces such a token every hour: the one it proves is still the same, and what was issued to it good.
    Nothing is verified; whoever can write the file can write another.
    """
    try:
        payload = proof.split(".")[1]
        claims: Any = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return "\n".join(str(claims[name]) for name in ("iss", "sub", "aud"))
    except (IndexError, KeyError, TypeError, ValueError, msgspec.DecodeError, RecursionError):
        return proof


class Secret:
    """A secret as it is stated: text, or a file that is read again when it changes. Its representation shows neither.

    Args:
        setting: names it in messages.
    """

    def __init__(self, text: str = "", *, file: Path | None = None, setting: str = "") -> None:
        self._text, self.file, self.setting = text, file, setting
        self._files = SecretFiles()

    def __repr__(self) -> str:
        return f"Secret({self.setting!r})"

    def read(self) -> str:
        """Return it as it is now.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file.
        """
        return self._files.read(self.file) if self.file is not None else self._text

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self._text,) if self._text else self._files.secrets
