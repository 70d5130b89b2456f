"""Which process is the one to do what only one may do: leases by name, kept in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, or_

from fluxtrail.ledger import schema
from fluxtrail.ledger.engine import Engine, writing

_L = schema.leases


class Leadership:
    """Goes by the clocks of the processes, which must agree to well below a lease.

    Who leads must stop by itself when it could not renew in time: nobody tells it. Every method raises StoreError.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    async def acquire(self, name: str, owner: str, lease: timedelta) -> bool:
        """Take the lead until `lease` from now, or keep it that long; False while another has it."""
        now = self._now()
        async with writing(self._engine) as session:
            statement = session.dialect.upsert(_L).values(name=name, owner=owner, leased_until=now + lease)
            statement = statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"owner": owner, "leased_until": now + lease},
                where=or_(_L.c.owner == owner, _L.c.leased_until <= now),
            )
            return await session.first(statement.returning(_L.c.owner)) is not None

    async def release(self, name: str, owner: str) -> None:
        """Let another have it now. Who does not have it changes nothing."""
        async with writing(self._engine) as session:
            await session.run(delete(_L).where(_L.c.name == name, _L.c.owner == owner))
