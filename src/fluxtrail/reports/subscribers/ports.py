"""What telling subscribers needs of a sender, as a Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Poster(Protocol):
    """Posts to the web."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Post once; whatever is 2xx is taken. No redirect is followed: a body goes where the settings say.

        Args:
            url: as the settings have it; it may hold a secret, and is in no error's text.

        Raises:
            UpstreamError: with `status`, and `retryable` where asking again may help; its kin as `model/errors.py` has
                them. A redirect is one with its status, not retryable.
        """
