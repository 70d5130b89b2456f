"""What will happen in the world: a list of steps, decided by the seed alone before anything happens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fluxtrail.simulator.layout import APPLICATIONS, FOLDERS, delivers

EVERYWHERE = "everywhere"


class Action(StrEnum):
    FEATURE = "feature"
    """A change of an application in the source repository, exported by the pipeline."""
    DOCS = "docs"
    """A change of the source repository that no manifest comes from."""
    SETTINGS = "settings"
    """A direct push to the manifests repository, for one cluster."""
    BASE = "base"
    """A direct push to a base that several targets are built from."""
    ASIDE = "aside"
    """A manifests commit that concerns no target."""
    NOTES = "notes"
    """A file in a target's folder that is not built: in scope, without effect."""
    BURST = "burst"
    """Two pushes at once: the first revision is skipped."""
    BAD_BUILD = "bad_build"
    """A manifest that is not YAML, then its repair."""
    BAD_HEALTH = "bad_health"
    """A release that never becomes healthy, then its repair."""
    REVERT = "revert"
    """A feature, and its `git revert` once it is everywhere."""
    ROLLBACK = "rollback"
    """Two direct pushes, and the branch moved back once they are applied."""
    LOST = "lost"
    """Two direct pushes that are dropped from the branch before any cluster fetched them."""
    SUSPEND = "suspend"
    """A target that is suspended while changes come, and resumed."""
    EXPORT_ROLLBACK = "export_rollback"
    """An export that is dropped from the branch once it is applied, and the revert of its source commit."""
    RELEASE = "release"
    """A HelmRelease gets other values, or another version of its chart."""
    CHART = "chart"
    """A change of the chart that lies in the manifests repository."""
    IMAGE = "image"
    """A change of an application whose image is bumped by automation."""
    BAD_ROLLOUT = "bad_rollout"
    """A release that is applied and never runs, then its repair."""
    BAD_RELEASE = "bad_release"
    """A HelmRelease whose upgrade fails and is rolled back, then its repair."""
    STUCK_RELEASE = "stuck_release"
    """A HelmRelease that Flux gives up for a fault that passes: a doctor resets it, or somebody in the end."""
    LASTING_BLOCK = "lasting_block"
    """A release whose image nobody can pull, and nobody repairs it."""
    LASTING_FAILURE = "lasting_failure"
    """A manifest that is not YAML, and nobody repairs it."""


class Style(StrEnum):
    DIRECT = "direct"
    MERGE = "merge"
    SQUASH = "squash"


_COSTS = {
    Action.BURST: 2,
    Action.BAD_BUILD: 2,
    Action.BAD_HEALTH: 2,
    Action.REVERT: 2,
    Action.ROLLBACK: 2,
    Action.LOST: 2,
    Action.SUSPEND: 2,
    Action.EXPORT_ROLLBACK: 2,
    Action.BAD_ROLLOUT: 2,
    Action.BAD_RELEASE: 2,
}
_EPISODES = (
    Action.BURST,
    Action.BAD_BUILD,
    Action.REVERT,
    Action.SUSPEND,
    Action.BAD_HEALTH,
    Action.BAD_ROLLOUT,
    Action.ROLLBACK,
    Action.LOST,
    Action.BAD_RELEASE,
    Action.EXPORT_ROLLBACK,
)
_ORDINARY = (
    (Action.FEATURE, 60),
    (Action.SETTINGS, 12),
    (Action.RELEASE, 8),
    (Action.CHART, 4),
    (Action.IMAGE, 8),
    (Action.DOCS, 8),
    (Action.BASE, 8),
    (Action.ASIDE, 5),
    (Action.NOTES, 5),
)


_TROUBLES = (
    "image_pull",
    "crash_loop",
    "out_of_memory",
    "configuration",
    "unschedulable",
    "volume",
    "sandbox",
    "quota",
    "refused",
)

_CHANGES_A_ROUND = 50
"""In which each kind of episode happens once."""


@dataclass(frozen=True, slots=True)
class Step:
    action: Action
    app: str = ""
    folder: str = EVERYWHERE
    """A cluster's folder, or everywhere."""
    style: Style = Style.DIRECT
    pause_seconds: float = 0.0
    """Before it, in simulated time."""
    trouble: str = ""
    """Of BAD_ROLLOUT: what keeps the pods from running."""

    @property
    def changes(self) -> int:
        """How many commits it pushes, exports apart."""
        return _COSTS.get(self.action, 1)


def plan_script(seed: int, *, changes: int, rate: float, has_doctor: bool = False) -> list[Step]:
    """Return the steps for a seed: the same ones every time.

    Args:
        seed: decides everything.
        changes: commits to push, exports apart. Under about twenty not every kind of episode fits.
        rate: ordinary commits in a simulated second, on average.
        has_doctor: whether releases get stuck, too.
    """
    dice = random.Random(seed)  # noqa: S311 - a script, not a secret
    episodes = _choose_episodes(changes, has_doctor=has_doctor)
    lasting = (Action.LASTING_FAILURE, Action.LASTING_BLOCK) if changes >= 8 else ()
    ordinary = changes - sum(step_cost(action) for action in episodes) - len(lasting)
    actions = [dice.choices([a for a, _ in _ORDINARY], [w for _, w in _ORDINARY])[0] for _ in range(ordinary)]
    # The very first commits are ordinary ones, so that whoever watches sees one arrive before trouble begins.
    first = min(2, len(actions))
    for action in episodes:
        actions.insert(dice.randint(first, len(actions)), action)
    if changes >= 8:
        actions.insert(max(len(actions) - 2, 0), Action.LASTING_FAILURE)
        actions.append(Action.LASTING_BLOCK)
    return [_step(action, dice, rate=rate) for action in actions]


def step_cost(action: Action) -> int:
    return _COSTS.get(action, 1)


def _choose_episodes(changes: int, *, has_doctor: bool) -> Sequence[Action]:
    rounds = max(1, changes // _CHANGES_A_ROUND)
    fitting = max(0, (changes - 4) // 2)
    stuck = (Action.STUCK_RELEASE,) * rounds if has_doctor and changes >= 8 else ()
    return (*(_EPISODES * rounds)[:fitting], *stuck)


def _step(action: Action, dice: random.Random, *, rate: float) -> Step:
    app = dice.choice(sorted(APPLICATIONS))
    folders = [folder for folder in FOLDERS if delivers(app, folder)]
    is_shared = dice.random() < 0.4
    folder = dice.choice(folders)
    style = dice.choice(list(Style))
    pause = min(dice.expovariate(rate), 5.0 / rate)
    trouble = dice.choice(_TROUBLES) if action is Action.BAD_ROLLOUT else ""
    where = EVERYWHERE if is_shared else folder
    return Step(action, app=app, folder=where, style=style, pause_seconds=pause, trouble=trouble)
