from __future__ import annotations

from typing import Any

import pytest

from fluxtrail.simulator.compare_records import differences_of_records

Json = dict[str, Any]

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def row(digest: str = A, status: str = "deployed", **more: Any) -> Json:
    return {"cluster": "prod-eu", "deployment_name": "shop/cart/cart", "digest": digest, "status": status} | more


@pytest.mark.parametrize(
    ("truth", "held", "said"),
    [
        ([row()], [row(id=7)], ""),
        ([row()], [], "is not there, true is deployed"),
        ([row()], [row(B)], "true is deployed sha256:aaa"),
        ([row()], [row(status="decommissioned")], "is decommissioned"),
        ([], [row()], "is there, and never was"),
        ([row()], [row(), row(cluster="prod-us")], "prod-us: shop/cart/cart is there"),
        ([row(is_attested=False)], [], ""),
        ([row(is_attested=False)], [row(B, "decommissioned")], ""),
        ([row(is_attested=False)], [row(B)], "does not know"),
    ],
)
def test_every_difference_is_one_line(truth: list[Json], held: list[Json], said: str) -> None:
    found = differences_of_records(truth, held)
    assert len(found) == (1 if said else 0)
    assert said in "".join(found)


def test_what_came_and_went_while_nobody_watched_need_not_be_told() -> None:
    gone = row(status="decommissioned")
    assert differences_of_records([gone], []) != []
    assert differences_of_records([gone], [], was_away=True) == []
    assert differences_of_records([gone], [row()], was_away=True) != []
    assert differences_of_records([row()], [], was_away=True) != []
