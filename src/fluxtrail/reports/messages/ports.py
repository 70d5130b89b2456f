"""What telling chats needs of their clients, as a Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Messenger(Protocol):
    """One channel of a chat.

    Raises:
        FluxtrailError: UpstreamError kin; a `retryable` one may have been taken all the same.
    """

    @property
    def can_edit(self) -> bool:
        """Whether a message can be changed once it is posted."""

    async def post(self, message: Mapping[str, Any]) -> str:
        """Post a message; returns its name there, empty where it has none."""

    async def update(self, remote_id: str, message: Mapping[str, Any]) -> bool:
        """Change a message in place; False where that cannot be: it was deleted, or may not be changed any more."""
