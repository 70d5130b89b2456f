"""How many images each registry is asked about in an hour. Kept in the ledger: a restart asks no more than a run.

Registries count what is pulled; a description is up to four requests. Docker Hub gives an address that is not logged
in about a hundred pulls in six hours (docs.docker.com, Usage and limits).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from fluxtrail.trail.images.knowing import DOCKER_HUB

NOTE = "images.budgets"
PER_HOUR = 600
PER_HOUR_OF = {DOCKER_HUB: 15}
REGISTRIES_LIMIT = 200


class _Spent(msgspec.Struct):
    hour: int
    """Since 1970."""
    images: int


class Budgets:
    def __init__(self, per_hour: Mapping[str, int] | None = None) -> None:
        """Args:
        per_hour: by registry, instead of what is assumed.
        """
        self._per_hour = {**PER_HOUR_OF, **(per_hour or {})}
        self._spent: dict[str, _Spent] = {}

    def read(self, note: str | None) -> None:
        """Take what was spent before a restart; a note that cannot be read says nothing."""
        try:
            self._spent = msgspec.json.decode(note or "{}", type=dict[str, _Spent])
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._spent = {}

    def write(self) -> str:
        newest = sorted(self._spent.items(), key=lambda item: -item[1].hour)[:REGISTRIES_LIMIT]
        return msgspec.json.encode(dict(newest)).decode()

    def spend(self, registry: str, now: datetime) -> datetime | None:
        """Take one; or return when there is one again."""
        hour = int(now.timestamp() // 3600)
        spent = self._spent.get(registry)
        if spent is None or spent.hour != hour:
            spent = self._spent[registry] = _Spent(hour, 0)
        if spent.images >= self._per_hour.get(registry, PER_HOUR):
            return datetime.fromtimestamp(hour * 3600, UTC) + timedelta(hours=1)
        spent.images += 1
        return None

    def give_back(self, registry: str, images: int) -> None:
        """Take back what was spent on images that were not asked about after all."""
        spent = self._spent.get(registry)
        if spent is not None:
            spent.images = max(0, spent.images - images)
