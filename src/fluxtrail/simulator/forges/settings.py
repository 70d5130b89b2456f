"""What the settings of a `run` say, so that it tells the simulated forges how commits stand, and is told of pushes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fluxtrail.simulator.images.layout import APPLICATION_REPOSITORY
from fluxtrail.simulator.layout import SOURCE_REPOSITORY

TOLD_REPOSITORIES = (SOURCE_REPOSITORY, APPLICATION_REPOSITORY)
"""Whose commits get statuses: those with pull requests."""
ENVIRONMENTS: tuple[dict[str, Any], ...] = (
    {"name": "staging", "clusters": ["staging"]},
    {"name": "production", "clusters": ["prod-*"]},
)

_HOOK_SECRET = "hooks-secret"  # noqa: S105 - a file's name

Json = dict[str, Any]


def route_settings(directory: Path, description: Mapping[str, Any], *, pages: str) -> Json:
    """Return the sections by which statuses are told, and write the token that they need.

    Args:
        directory: where the token is kept.
        description: what the simulator printed.
        pages: where people reach the pages of this `run`.
    """
    token_file = directory / "forge-token"
    token_file.write_text(description["forges"]["token"], encoding="utf-8")
    token_file.chmod(0o600)
    return {
        "public_url": pages,
        "environments": description["forges"]["environments"],
        "credentials": [{"host": urlsplit(description["github"]).netloc, "token_file": str(token_file)}],
        "routes": [
            {
                "name": "pull-requests",
                "to": "github_status",
                "repositories": [f"*/{name}" for name in description["forges"]["repositories"]],
            }
        ],
    }


def hook_settings(directory: Path, listen: str) -> Json:
    """Return the section by which GitHub's webhooks are taken, and write a new secret that they are signed with.

    What nobody signed is taken at `/gitopsphase`, as a hint.

    Args:
        directory: where the secret is kept.
    """
    secret_file = directory / _HOOK_SECRET
    with os.fdopen(os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))
    sender = {"name": "github", "secret_file": str(secret_file), "hooks": ["github"]}
    return {"listen": listen, "gitopsphase": {"anonymous": True}, "senders": [sender]}


def read_hook_secret(directory: Path) -> str:
    """Return the secret that `hook_settings` wrote."""
    return (directory / _HOOK_SECRET).read_text(encoding="utf-8")
