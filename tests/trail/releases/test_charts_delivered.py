"""Commits of charts, and versions of charts, delivered by HelmReleases: on a real ledger and real git."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.following import World
from tests.trail.releases.controller import HelmController
from tests.trail.releases.test_charts import GIT, PLACE, chart, helm_repository

from fluxtrail.model.revision import version_sha
from fluxtrail.model.sources import ArtifactSource

replace = msgspec.structs.replace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        made.origin("charts")
        yield made


def controller(item: ArtifactSource) -> Any:
    """Return a controller whose release takes its chart from there."""
    flux = HelmController(chart=item.revision or "")
    flux.object = replace(flux.object, source=item.key, chart_source=item.made_from, chart=item.chart)
    return flux


async def released(world: World, flux: Any, action: str = "upgrade") -> None:
    world.now(flux)
    flux.release(action)
    await world.play(flux)
    await world.settle()


async def test_commits_of_a_chart_in_git_are_delivered_where_they_changed_it(world: World) -> None:
    async def built(sha: str) -> ArtifactSource:
        await world.fetch("charts", sha)
        return await world.pull(chart(GIT, version=f"0.1.0+{sha[:12]}", built_from=f"main@sha1:{sha}"))

    first = world.commit("charts", charts__cart__values="1")
    flux = controller(await built(first))
    await released(world, flux, "install")
    changed, beside = world.commit("charts", charts__cart__values="2"), world.commit("charts", readme="2")
    item = await built(beside)
    flux.chart = item.revision
    await released(world, flux)
    assert await world.verdicts([changed, beside], flux) == ["deployed", "-"]
    target = world.target(flux)
    assert (target.applied_sha, target.branch) == (beside, "main")


async def test_versions_of_a_helm_repository_are_changes_of_their_own(world: World) -> None:
    await world.pull(helm_repository("https://charts.example.com/acme"))
    flux = controller(await world.pull(chart(PLACE, chart="cart", version="6.3.5")))
    await released(world, flux, "install")
    await world.pull(chart(PLACE, chart="cart", version="6.4.0"))
    await world.settle()
    newer = version_sha("6.4.0") or ""
    assert await world.verdicts([newer], flux) == ["pending"]
    flux.chart = "6.4.0"
    await released(world, flux)
    assert await world.verdicts([newer], flux) == ["deployed"]
    assert (await world.record(newer)).subject == "6.4.0"


async def test_failed_upgrade_fails_the_version_until_it_is_released(world: World) -> None:
    await world.pull(helm_repository("https://charts.example.com/acme"))
    flux = controller(await world.pull(chart(PLACE, chart="cart", version="6.3.5")))
    await released(world, flux, "install")
    flux.chart = (await world.pull(chart(PLACE, chart="cart", version="6.4.0"))).revision
    world.now(flux)
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    flux.roll_back()
    await world.play(flux)
    await world.settle()
    newer = version_sha("6.4.0") or ""
    assert await world.verdicts([newer], flux) == ["failed"]
    assert (await world.delivery(newer, flux)).reason == "UpgradeFailed"
    await released(world, flux)
    assert await world.verdicts([newer], flux) == ["deployed"]
