from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.reports.resource_metrics.objects import make, ready, render, resource_of

from fluxtrail.model.observation import Current, Gone, Listed, ObjectKey, ObjectUid, Seen, Unavailable
from fluxtrail.reports.resource_metrics import series as series_module
from fluxtrail.reports.resource_metrics.rendering import Lines, Renderer
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries, render_snapshot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class World:
    """Two kinds on one cluster, told of by hand."""

    def __init__(self, limit: int = 100, kinds: tuple[str, ...] = ("Kustomization", "GitRepository")) -> None:
        self.now = NOON
        self.all = ResourceSeries(limit)
        self.kinds: dict[str, KindSeries] = {}
        for kind in kinds:
            self.kinds[kind] = KindSeries(
                resource_of(kind), cluster="prod", budget=self.all.budget, now=lambda: self.now
            )
            self.all.add(self.kinds[kind])

    def see(self, kind: str, *names: str, status: str = "True") -> None:
        for name in names:
            lines = render(Renderer(resource_of(kind)), make(kind, name=name, status={"conditions": ready(status)}))
            assert lines is not None
            self._tell(kind, Seen(key=self._key(kind, name), object=lines, observed_at=self.now, was_held=True))

    def lose(self, kind: str, name: str) -> None:
        self._tell(kind, Gone(key=self._key(kind, name), uid=ObjectUid("x"), observed_at=self.now))

    def complete(self, kind: str) -> None:
        self._tell(kind, Listed(group=resource_of(kind).group, kind=kind, observed_at=self.now))

    def withdraw(self, kind: str, reason: str) -> None:
        group = resource_of(kind).group
        self._tell(kind, Unavailable(group=group, kind=kind, observed_at=self.now, reason=reason, message="?"))

    def _tell(self, kind: str, observation: Seen[Lines] | Gone | Listed | Current | Unavailable) -> None:
        self.all.observe(self.kinds[kind], [observation])

    @staticmethod
    def _key(kind: str, name: str) -> ObjectKey:
        return ObjectKey(resource_of(kind).group, kind, "apps", name)

    def text(self, *, is_openmetrics: bool = False, **chosen: Any) -> str:
        return b"".join(render_snapshot(self.all.snapshot(**chosen), is_openmetrics=is_openmetrics)).decode()

    def names(self, **chosen: Any) -> list[str]:
        families = list(parse_text(self.text(**chosen)))
        return [sample.labels["name"] for family in families for sample in family.samples]


@pytest.fixture
def world() -> World:
    return World()


def test_an_object_has_one_line_and_keeps_to_what_it_is_now(world: World) -> None:
    world.see("Kustomization", "web")
    world.see("Kustomization", "web", status="False")
    assert world.text().count('name="web"') == 1
    assert 'ready="False"' in world.text()


def test_an_object_that_is_gone_is_gone_at_once(world: World) -> None:
    world.see("Kustomization", "web", "api")
    world.lose("Kustomization", "web")
    assert world.names() == ["api"]
    assert world.all.budget.used == 1


def test_what_was_deleted_while_nobody_watched_goes_with_the_first_list_after(world: World) -> None:
    world.see("Kustomization", "web", "api")
    world.complete("Kustomization")
    world.kinds["Kustomization"].begin()
    world.see("Kustomization", "api")
    assert sorted(world.names()) == ["api", "web"]
    world.complete("Kustomization")
    assert world.names() == ["api"]


def test_head_comes_once_for_all_kinds(world: World) -> None:
    world.see("Kustomization", "web")
    world.see("GitRepository", "fleet")
    text = world.text()
    assert text.splitlines()[:2] == [
        "# HELP gotk_resource_info The current state of a Flux resource.",
        "# TYPE gotk_resource_info gauge",
    ]
    assert (text.count("# HELP"), text.count("# TYPE")) == (1, 1)
    assert len(text.splitlines()) == 4


def test_openmetrics_has_an_info(world: World) -> None:
    world.see("Kustomization", "web")
    world.see("GitRepository", "fleet")
    (family,) = parse_openmetrics(world.text(is_openmetrics=True) + "# EOF\n")  # type: ignore[no-untyped-call]
    assert (family.name, family.type, len(family.samples)) == ("gotk_resource", "info", 2)
    assert family.samples[0].name == "gotk_resource_info"


def test_resources_are_chosen_by_their_plural(world: World) -> None:
    world.see("Kustomization", "web")
    world.see("GitRepository", "fleet")
    assert world.names(resources=frozenset({"kustomizations"})) == ["web"]
    assert world.names(resources=frozenset({"gitrepositories.source.toolkit.fluxcd.io"})) == ["fleet"]
    assert world.names(resources=frozenset({"pods"})) == []
    assert world.names(excluded=frozenset({"kustomizations"})) == ["fleet"]


def test_no_more_series_than_the_budget_and_the_rest_is_counted() -> None:
    world = World(limit=2)
    world.see("Kustomization", "a", "b", "c")
    world.see("GitRepository", "d")
    assert world.names() == ["a", "b"]
    assert [kind.over_budget for kind in world.kinds.values()] == [1, 1]
    world.see("Kustomization", "a", status="False")
    world.see("Kustomization", "c", status="False")
    assert 'ready="False"' in world.text()
    assert world.kinds["Kustomization"].over_budget == 1
    world.lose("Kustomization", "a")
    assert world.names() == ["b", "c"]
    world.lose("Kustomization", "b")
    assert sorted(world.names()) == ["c", "d"]
    world.lose("Kustomization", "c")
    world.lose("GitRepository", "d")
    assert (world.names(), world.all.budget.used) == ([], 0)


def test_one_that_waits_and_goes_is_forgotten() -> None:
    world = World(limit=1)
    world.see("Kustomization", "a", "b")
    world.lose("Kustomization", "b")
    world.lose("Kustomization", "a")
    assert world.names() == []
    assert world.kinds["Kustomization"].over_budget == 0


def test_a_kind_that_is_no_longer_served_vanishes_after_a_while_and_comes_back(world: World) -> None:
    world.see("Kustomization", "web")
    world.see("GitRepository", "fleet")
    world.withdraw("Kustomization", "not_installed")
    assert sorted(world.names()) == ["fleet", "web"]
    world.now += timedelta(minutes=1)
    assert world.names() == ["fleet"]
    world.complete("Kustomization")
    assert sorted(world.names()) == ["fleet", "web"]


@pytest.mark.parametrize("reason", ["unreachable", "unauthorized", "forbidden"])
def test_what_cannot_be_asked_stays_as_it_was_last_known(world: World, reason: str) -> None:
    world.see("Kustomization", "web")
    world.withdraw("Kustomization", reason)
    world.now += timedelta(hours=1)
    assert world.names() == ["web"]


def test_a_large_family_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "LINES_AT_ONCE", 4096)
    world = World(limit=10_000)
    world.see("Kustomization", *(f"k{number}" for number in range(5_000)))
    pieces = render_snapshot(world.all.snapshot(), is_openmetrics=False)
    assert len(pieces) == 3
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert len(world.names()) == 5_000


@pytest.mark.requires("promtool")
def test_promtool_has_nothing_to_say(world: World) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool")
    world.see("Kustomization", 'quote " slash \\ line\nend')
    world.see("GitRepository", "fleet")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=world.text(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
