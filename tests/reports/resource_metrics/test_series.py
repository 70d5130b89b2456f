from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.reports.resource_metrics.objects import make, ready, render, resource_of

from fluxtrail.model.observation import Current, Gone, Listed, ObjectKey, ObjectUid, Seen, Unavailable
from fluxtrail.reports.resource_metrics import blocks as blocks_module
from fluxtrail.reports.resource_metrics.blocks import Block
from fluxtrail.reports.resource_metrics.rendering import Lines, Renderer
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = st.sampled_from(["Kustomization", "GitRepository"])


@cache
def renderer_of(kind: str) -> Renderer:
    return Renderer(resource_of(kind))


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
            lines = render(renderer_of(kind), make(kind, name=name, status={"conditions": ready(status)}))
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
        return joined(self.all.pieces(is_openmetrics=is_openmetrics, **chosen))

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
    assert sorted(world.names()) == ["b", "c"]
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


def test_a_change_concerns_one_block_and_writing_the_same_again_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "LINES_IN_BLOCK", 64)
    world = World(limit=1_000)
    world.see("Kustomization", *(f"k{number}" for number in range(200)))
    world.see("GitRepository", "fleet")
    before = world.all.pieces(is_openmetrics=False)
    assert len(before) == 6
    world.see("Kustomization", "k70")
    assert [id(piece) for piece in world.all.pieces(is_openmetrics=False)[1:]] == [id(piece) for piece in before[1:]]
    world.see("Kustomization", "k70", status="False")
    after = world.all.pieces(is_openmetrics=True)
    assert [new is old for new, old in zip(after, before, strict=True)] == [False, True, False, True, True, True]
    assert b'ready="False"' not in b"".join(piece.read() for piece in before if isinstance(piece, Block))
    assert 'name="k70",ready="False"' in world.text()
    assert len(world.names()) == 201


def test_what_is_counted_is_series_of_which_an_object_may_have_many(world: World) -> None:
    kind = world.kinds["Kustomization"]
    for number, lines in enumerate((b"a 1\nb 1\n", b"a 2\n", b"")):
        key = ObjectKey("", "", "", str(number))
        world.all.observe(kind, [Seen(key=key, object=(lines,), observed_at=NOON, was_held=False)])
    assert (kind.count, world.all.budget.used) == (3, 3)
    world.all.observe(kind, [Gone(key=ObjectKey("", "", "", "0"), uid=ObjectUid("x"), observed_at=NOON)])
    assert (kind.count, world.all.budget.used) == (1, 1)


class Told(RuleBasedStateMachine):
    """Whatever is told of two kinds, in whatever order: what is answered is what a plain dictionary holds."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(limit=100_000)
        self.model: dict[str, dict[str, str]] = {kind: {} for kind in self.world.kinds}
        self.unconfirmed: dict[str, set[str]] = {kind: set() for kind in self.world.kinds}
        self.answered: list[tuple[list[bytes | Block], str]] = []

    @rule(kind=KINDS, first=st.integers(0, 60), count=st.integers(1, 12), status=st.sampled_from(["True", "False"]))
    def see(self, kind: str, first: int, count: int, status: str) -> None:
        names = [f"n{number}" for number in range(first, first + count)]
        self.world.see(kind, *names, status=status)
        self.model[kind] |= dict.fromkeys(names, status)
        self.unconfirmed[kind] -= set(names)

    @rule(kind=KINDS, first=st.integers(0, 60), count=st.integers(1, 40))
    def lose(self, kind: str, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.world.lose(kind, f"n{number}")
            self.model[kind].pop(f"n{number}", None)

    @rule(kind=KINDS)
    def begin(self, kind: str) -> None:
        self.world.kinds[kind].begin()
        self.unconfirmed[kind] = set(self.model[kind])

    @rule(kind=KINDS)
    def complete(self, kind: str) -> None:
        self.world.complete(kind)
        for name in self.unconfirmed[kind]:
            self.model[kind].pop(name, None)
        self.unconfirmed[kind] = set()

    @rule()
    def ask(self) -> None:
        pieces = self.world.all.pieces(is_openmetrics=False)
        self.answered.append((pieces, joined(pieces)))

    @invariant()
    def is_what_there_is(self) -> None:
        text = self.world.text()
        found = sorted(re.findall(r'customresource_kind="(\w+)".* name="?(\w+)', text.replace(",", ", ")))
        assert found == sorted((kind, name) for kind, names in self.model.items() for name in names)
        for kind, names in self.model.items():
            for status in ("True", "False"):
                wanted = sum(known == status for known in names.values())
                assert len(re.findall(rf'kind="{kind}".*ready="{status}"', text)) == wanted
        assert self.world.all.budget.used == sum(map(len, self.model.values()))

    @invariant()
    def what_was_answered_stays(self) -> None:
        assert all(joined(pieces) == text for pieces, text in self.answered[-3:])


def joined(pieces: list[bytes | Block]) -> str:
    assert all(len(piece) == len(read(piece)) for piece in pieces)
    return b"".join(map(read, pieces)).decode()


def read(piece: bytes | Block) -> bytes:
    return piece.read() if isinstance(piece, Block) else piece


def test_blocks_are_the_plain_join_after_anything_that_may_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "LINES_IN_BLOCK", 4)
    run_state_machine_as_test(Told, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


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
