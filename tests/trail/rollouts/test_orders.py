"""A roll-out is the same whatever order its objects and pods are heard of in.

A controller that is up to anything is played: templates and scales change, pods come, become ready, crash and go, the
status lags behind. Each object's changes keep their order; between the workload, its ReplicaSets and its pods there is
none. What the rules say of each view is latched as the product does: the first time a generation has rolled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.trail.rollouts.states import at, condition, container, deployment, pod, replace, replica_set, stateful_set

from fluxtrail.model.moment import Moment
from fluxtrail.model.rollout import Rollout, RolloutState
from fluxtrail.model.workloads import Pod, Progress, Workload
from fluxtrail.trail.rollouts.rules import judge_rollout

UNREADY: dict[str, Any] = {"is_ready": False, "ready_at": None, "containers": (container(is_ready=False),)}
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
View = dict[str, Workload | Pod | None]
"""Objects by stream and name, as they were heard of last; None of what is gone."""


class Change(NamedTuple):
    stream: str
    name: str
    item: Workload | Pod | None


class Play:
    """One workload's life; `told` is what its streams say of it, in the order in which it happened."""

    def __init__(self, kind: str, wanted: int, spare: int, partition: int) -> None:
        self.kind, self.wanted, self.spare, self.partition = kind, wanted, spare, partition
        self.now, self.generation, self.observed, self.version = 0, 1, 0, 1
        self.seen_version, self.touched, self.made = 0, 0, 0
        self.pods: dict[str, Pod] = {}
        self.sets: dict[int, Workload] = {}
        self.status = Progress()
        self.told: list[Change] = []
        self.rolled: set[int] = set()
        """Generations that were rolled out in truth, at some instant."""
        self._say()

    # -- what may happen ---------------------------------------------------------------------------------------------

    def apply(self) -> None:
        self.version += 1
        self.touched = self.now
        self.generation += 1
        self._say()

    def scale(self) -> None:
        self.wanted = self.wanted % 4 + 1
        self.generation += 1
        self._say()

    def observe(self) -> None:
        self.observed, self.seen_version = self.generation, self.version
        if self.kind == "Deployment" and self.version not in self.sets:
            self.sets[self.version] = replica_set(self._owner(), self.version)
            self.told.append(Change("sets", str(self.version), self.sets[self.version]))
        self.report()

    def report(self) -> None:
        self.status = self._true_status()
        self._say()

    def make(self) -> None:
        if self.seen_version and len(self._of(self.seen_version)) < self.wanted:
            self.made += 1
            owner = self.sets[self.seen_version] if self.kind == "Deployment" else self._owner()
            found = pod(owner, f"web-{self.made}", created_at=at(self.now), **UNREADY)
            labels = {"revision": self._revision(self.seen_version), "generation": self.seen_version}
            self._put(replace(found, node=f"node-{self.made}", **labels))

    def ready(self) -> None:
        waiting = [found for found in self.pods.values() if not found.is_ready]
        if waiting:
            self._put(replace(waiting[0], is_ready=True, ready_at=at(self.now), containers=(container(),)))

    def crash(self) -> None:
        up = [found for found in self.pods.values() if found.is_ready]
        if up:
            self._put(replace(up[-1], **UNREADY))

    def drop(self) -> None:
        """Let an old pod go, or else one too many."""
        old = [found for found in self.pods.values() if found.generation != self.seen_version]
        spare = old if old else list(self.pods.values())[self.wanted :]
        if spare:
            del self.pods[spare[0].name]
            self.told.append(Change("pods", spare[0].name, None))

    def finish(self) -> None:
        self.observe()
        for _ in range(20):
            for step in (self.drop, self.make, self.ready):
                self.step(step.__name__)
        self.report()

    def step(self, name: str) -> None:
        self.now += 1
        getattr(self, name)()
        if self.observed == self.generation and self._is_rolled():
            self.rolled.add(self.generation)

    def _is_rolled(self) -> bool:
        """Whether it has rolled out in truth: counted among the pods themselves."""
        partition = self.partition if self.partition < self.wanted else 0
        asked = list(self.pods.values()) if partition != self.partition else self._of(self.seen_version)
        wanted = self.wanted - partition
        return len(asked) >= wanted and sum(each.is_ready for each in asked) >= max(wanted - self.spare, 1)

    # -- what is told of it ------------------------------------------------------------------------------------------

    def _say(self) -> None:
        self.told.append(Change("object", "web", self._object()))

    def _put(self, found: Pod) -> None:
        self.pods[found.name] = found
        self.told.append(Change("pods", found.name, found))

    def _of(self, version: int) -> list[Pod]:
        return [found for found in self.pods.values() if found.generation == version]

    def _revision(self, version: int) -> str:
        return "" if self.kind == "Deployment" else f"r{version}"

    def _owner(self) -> Workload:
        found = deployment("1/1/1/1") if self.kind == "Deployment" else stateful_set("1/1/1/1")
        return replace(found, key=replace(found.key, kind=self.kind))

    def _object(self) -> Workload:
        return replace(
            self._owner(),
            generation=self.generation,
            touched_at=at(self.touched),
            revision=self.version if self.kind == "DaemonSet" else 0,
            update_revision=self._revision(self.seen_version) if self.kind == "StatefulSet" else "",
            progress=replace(self.status, wanted=self.wanted, max_unavailable=self.spare, partition=self.partition),
        )

    def _true_status(self) -> Progress:
        up = sum(found.is_ready for found in self.pods.values())
        named = condition("Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "web-{self.seen_version}" is there.')
        return Progress(
            observed_generation=self.observed,
            wanted=self.wanted,
            total=len(self.pods),
            updated=len(self._of(self.seen_version)),
            ready=up,
            available=up,
            max_unavailable=self.spare,
            partition=self.partition,
            current_revision=self._revision(self.seen_version),
            strategy="RollingUpdate",
            conditions=(named,) if self.kind == "Deployment" and self.observed else (),
        )


class Latch:
    """The newest generation that rolled out, and the moment that the cluster itself first told of it."""

    def __init__(self) -> None:
        self.generation = 0
        self.moment: Moment | None = None
        self.history: list[int] = []

    def take(self, generation: int, rollout: Rollout) -> None:
        if rollout.state is not RolloutState.ROLLED_OUT or generation < self.generation:
            return
        if generation > self.generation:
            self.generation, self.moment = generation, None
            self.history.append(generation)
        self.moment = self.moment or rollout.reached


STEPS = ("apply", "scale", "observe", "report", "make", "make", "ready", "ready", "drop", "crash")
SEEDS = st.integers(0, 2**32)
CALM = tuple(step for step in STEPS if step != "crash")


@st.composite
def plays(draw: st.DrawFn, steps: tuple[str, ...] = STEPS) -> Play:
    kind = draw(st.sampled_from(KINDS))
    wanted, spare = draw(st.integers(1, 3)), draw(st.integers(0, 1))
    play = Play(kind, wanted, spare, draw(st.integers(0, 2)) if kind == "StatefulSet" else 0)
    for step in draw(st.lists(st.sampled_from(steps), max_size=40)):
        play.step(step)
    if draw(st.booleans()):
        play.finish()
    play.step("report")
    return play


def finished(play: Play) -> Play:
    play.finish()
    return play


def shuffled(play: Play, seed: int) -> Iterator[View]:
    """Yield what is known after each change, the streams mixed at will: some much faster than others."""
    chance = Random(seed)
    queues = {name: [each for each in play.told if each.stream == name] for name in ("object", "sets", "pods")}
    speed = {name: chance.choice((1, 4, 100)) for name in queues}
    view: View = {}
    while any(queues.values()):
        left = [name for name, queue in queues.items() if queue]
        name = chance.choices(left, [speed[each] for each in left])[0]
        change = queues[name].pop(0)
        view[f"{name}/{change.name}"] = change.item
        yield view


def judge(view: View) -> tuple[int, Rollout] | None:
    item = view.get("object/web")
    if not isinstance(item, Workload):
        return None
    found = [each for each in view.values() if isinstance(each, Pod)]
    sets = [each for name, each in view.items() if name.startswith("sets/") and isinstance(each, Workload)]
    return item.generation, judge_rollout(item, found, sets)


def heard(play: Play, seed: int) -> tuple[Latch, Rollout]:
    latch, last = Latch(), None
    for view in shuffled(play, seed):
        told = judge(view)
        if told is not None:
            latch.take(*told)
            last = told[1]
    assert last is not None
    return latch, last


@settings(max_examples=200, deadline=None)
@given(plays(), SEEDS, SEEDS)
def test_latch_is_the_same_for_every_order_that_ends_alike(play: Play, one: int, other: int) -> None:
    (first, ends), (second, also) = heard(play, one), heard(play, other)
    event(ends.state)
    assert ends == also
    if ends.state is RolloutState.ROLLED_OUT:
        assert first.generation == second.generation == play.generation


@settings(max_examples=100, deadline=None)
@given(plays().map(finished), SEEDS)
def test_latch_is_reached_in_the_end_in_every_order(play: Play, seed: int) -> None:
    latch, ends = heard(play, seed)
    assert ends.state is RolloutState.ROLLED_OUT
    assert latch.generation == play.generation
    assert play.generation in play.rolled or play.partition >= play.wanted


@settings(max_examples=200, deadline=None)
@given(plays(), SEEDS)
def test_latch_is_never_of_what_never_rolled_out(play: Play, seed: int) -> None:
    latch, _ = heard(play, seed)
    assert set(latch.history) <= play.rolled
    assert latch.history == sorted(latch.history)


@settings(max_examples=200, deadline=None)
@given(plays(CALM), SEEDS, SEEDS)
def test_moment_is_the_same_for_every_order(play: Play, one: int, other: int) -> None:
    """As long as no pod that was ready fails: of one that is ready again the API keeps no earlier moment."""
    (first, ends), (second, _) = heard(play, one), heard(play, other)
    if ends.state is RolloutState.ROLLED_OUT:
        assert first.moment == second.moment
        assert first.moment is not None
        assert at(play.touched) <= first.moment.at <= at(play.now)


@settings(max_examples=200, deadline=None)
@given(plays(), st.randoms(use_true_random=False))
def test_answer_does_not_depend_on_the_order_of_pods(play: Play, random: object) -> None:
    item, found, sets = play._object(), list(play.pods.values()), list(play.sets.values())
    before = judge_rollout(item, found, sets)
    random.shuffle(found)  # type: ignore[attr-defined]
    random.shuffle(sets)  # type: ignore[attr-defined]
    assert judge_rollout(item, found, sets) == before


@settings(max_examples=200, deadline=None)
@given(plays(), st.integers(0, 5))
def test_rolled_out_at_a_generation_is_rolled_out_at_every_one_before(play: Play, back: int) -> None:
    item, found, sets = play._object(), list(play.pods.values()), list(play.sets.values())
    if judge_rollout(item, found, sets).state is RolloutState.ROLLED_OUT:
        earlier = replace(item, generation=max(item.generation - back, 0))
        assert judge_rollout(earlier, found, sets).state is RolloutState.ROLLED_OUT
