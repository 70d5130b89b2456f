"""What is shown to a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["token", "basic", "ssh"]

TOKEN_USERNAME = "x-access-token"  # noqa: S105 - the login GitHub documents for tokens over git; others take any


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What to show to a host. Its representation never holds the secret."""

    kind: Kind
    username: str = TOKEN_USERNAME
    secret: str = field(default="", repr=False)
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    is_bearer: bool = False
    """It is shown as `Authorization: Bearer`, to git too: Azure DevOps takes what Entra ID issued in no other way."""
