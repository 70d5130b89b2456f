"""Whose last stage is a delivery's: that of the sync which applied it first, where that was not taken back.

What a release applied and Flux rolled back or uninstalled does not run. The sync that deployed it in the end brought
it anew, and `applied` stays where it was: it had been there.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case


def of_last_stage(name: str, applied: FromClause, healthy: FromClause) -> ColumnElement[Any]:
    """Return a column of the sync whose last stage counts, under its own name.

    Args:
        applied, healthy: `syncs` joined as the delivery's `applied_sync` and `healthy_sync`.
    """
    is_later = and_(applied.c.running.is_(None), applied.c.is_remediated, healthy.c.id.is_not(None))
    return case((is_later, healthy.c[name]), else_=applied.c[name])
