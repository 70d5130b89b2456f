"""What the settings of a `run` say, so that it tells the simulated forges how commits stand."""

from __future__ import annotations

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
