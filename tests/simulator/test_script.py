from __future__ import annotations

import random

import pytest

from fluxtrail.simulator.layout import first_manifests, source_tree
from fluxtrail.simulator.rendering import render
from fluxtrail.simulator.script import Action, plan_script


def test_a_seed_always_gives_the_same_script() -> None:
    assert plan_script(5, changes=50, rate=1.0) == plan_script(5, changes=50, rate=1.0)
    assert plan_script(5, changes=50, rate=1.0) != plan_script(6, changes=50, rate=1.0)


def test_planning_leaves_the_process_wide_dice_alone() -> None:
    random.seed(1)
    before = random.getstate()
    plan_script(5, changes=50, rate=1.0)
    assert random.getstate() == before


@pytest.mark.parametrize("changes", [1, 2, 3, 5, 8, 12, 20, 50, 200])
def test_a_script_pushes_as_many_changes_as_asked_for(changes: int) -> None:
    for seed in range(10):
        assert sum(step.changes for step in plan_script(seed, changes=changes, rate=1.0)) == changes


def test_fifty_changes_have_every_kind_of_episode() -> None:
    for seed in range(10):
        assert {step.action for step in plan_script(seed, changes=50, rate=1.0)} >= {
            Action.BURST,
            Action.BAD_BUILD,
            Action.BAD_HEALTH,
            Action.REVERT,
            Action.ROLLBACK,
            Action.LOST,
            Action.SUSPEND,
            Action.EXPORT_ROLLBACK,
            Action.BAD_ROLLOUT,
            Action.BAD_RELEASE,
            Action.LASTING_BLOCK,
            Action.LASTING_FAILURE,
        }


def test_the_first_trees_render_manifests_for_every_kustomization() -> None:
    rendered = render(source_tree())
    assert "clusters/prod-eu/apps/cart.yaml" in rendered
    assert "clusters/edge/apps/storefront.yaml" in rendered
    assert "clusters/edge/backend/orders.yaml" not in rendered
    assert not rendered.keys() & first_manifests().keys()
