"""A simulated image-reflector-controller and image-automation-controller: tags are found, manifests are bumped.

The order of the status writes is that of image-reflector-controller 1.2 and image-automation-controller 1.2.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.images.layout import AUTOMATION, CLUSTERS, IMAGE, POLICIES, image_manifest, image_path
from fluxtrail.simulator.images.registry import ImageRegistry
from fluxtrail.simulator.layout import NAMESPACE, SOURCE
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.statuses import Conditions
from fluxtrail.simulator.truth import Truth

BOT = Person("fluxcdbot", "fluxcdbot@users.noreply.github.com")
MESSAGE = "Update from image update automation\n"
_REPOSITORY = "assistant"
_REPOSITORIES, _POLICIES, _AUTOMATIONS = "imagerepositories", "imagepolicies", "imageupdateautomations"
_SUCCEEDED = "Succeeded"

Object = dict[str, Any]


class ImageAutomation:
    """Runs on one cluster, and writes to the manifests repository of all.

    Args:
        on_push: called with each bump.
    """

    def __init__(
        self,
        store: Store,
        *,
        registry: ImageRegistry,
        manifests: Repository,
        clock: SimulatedClock,
        truth: Truth,
        dice: random.Random,
        on_push: Callable[[Commit], None],
    ) -> None:
        self.duty = Duty(clock)
        self.is_busy = False
        self.is_paused = False
        self._store = store
        self._registry = registry
        self._manifests = manifests
        self._clock = clock
        self._truth = truth
        self._dice = dice
        self._on_push = on_push
        self._waiting: list[tuple[str, list[Commit]]] = []

    def is_settled(self) -> bool:
        return not (self._waiting or self.is_busy)

    def add(self, tag: str, commits: list[Commit]) -> None:
        """The registry has an image with these commits; the next scan finds it."""
        self._waiting.append((tag, commits))
        self.duty.poke()

    def install(self) -> None:
        """Create the objects, as people have them in their cluster."""
        host = self._registry.host
        image = {"image": f"{host}/{IMAGE}", "insecure": True, "interval": "1m"}
        self._create(_REPOSITORIES, _REPOSITORY, image)
        for name, is_pinned in POLICIES.items():
            policy: Object = {"imageRepositoryRef": {"name": _REPOSITORY}, "policy": {"semver": {"range": ">=1.0.0"}}}
            if is_pinned:
                policy["digestReflectionPolicy"] = "IfNotPresent"
            self._create(_POLICIES, name, policy)
        git = {
            "checkout": {"ref": {"branch": self._manifests.branch}},
            "commit": {"author": {"email": BOT.email, "name": BOT.name}},
            "push": {"branch": self._manifests.branch},
        }
        update = {"path": "./clusters", "strategy": "Setters"}
        source = {"kind": "GitRepository", "name": SOURCE}
        self._create(_AUTOMATIONS, AUTOMATION, {"git": git, "interval": "1m", "sourceRef": source, "update": update})

    async def run(self) -> None:
        while True:
            while self._waiting and not self.is_paused:
                self.is_busy = True
                await self._clock.sleep(self._dice.uniform(0.2, 1.5))
                batch, self._waiting = self._waiting, []
                tag = batch[-1][0]
                self.scan()
                self.choose(tag)
                await self._clock.sleep(self._dice.uniform(0.1, 0.5))
                await self._push(tag, [commit for _, commits in batch for commit in commits])
                self.is_busy = False
            await self.duty.wait(None)

    def scan(self) -> None:
        """What an ImageRepository's reconciliation writes."""
        tags = sorted(self._registry.tags(IMAGE), key=_version, reverse=True)
        checksum = str(zlib.adler32(" ".join(tags).encode()))
        message = f"successful scan: found {len(tags)} tags with checksum {checksum}"
        self._set(_REPOSITORIES, _REPOSITORY, message)
        result = {
            "latestTags": tags[:10],
            "revision": checksum,
            "scanTime": wire_time(self._clock.now()),
            "tagCount": len(tags),
        }
        name = f"{self._registry.host}/{IMAGE}"
        more = {"canonicalImageName": name, "lastScanResult": result, "observedGeneration": 1}
        self._store.patch_status(_REPOSITORIES, _REPOSITORY, NAMESPACE, more)

    def choose(self, tag: str) -> None:
        """What the reconciliations of the ImagePolicies write."""
        name = f"{self._registry.host}/{IMAGE}"
        for policy, is_pinned in POLICIES.items():
            before = (self._store.get(_POLICIES, policy, NAMESPACE).get("status") or {}).get("latestRef")
            latest = {"name": name, "tag": tag} | ({"digest": self._digest(tag)} if is_pinned else {})
            self._set(_POLICIES, policy, f"Latest image tag for {name} resolved to {tag}")
            status: Object = {"latestRef": latest, "observedGeneration": 1}
            if before and before != latest:
                status["observedPreviousRef"] = before
            self._store.patch_status(_POLICIES, policy, NAMESPACE, status)

    async def _push(self, tag: str, commits: list[Commit]) -> None:
        """Write what the policies chose at the markers, and push it."""
        host, digest = self._registry.host, self._digest(tag)
        changes = {image_path(cluster): image_manifest(cluster, host, tag, digest) for cluster in CLUSTERS}
        made = await self._manifests.commit(changes, MESSAGE, author=BOT, at=self._clock.now())
        self._truth.bump(made, commits)
        self._truth.push(self._manifests, made)
        now = wire_time(self._clock.now())
        self._set(_AUTOMATIONS, AUTOMATION, f"pushed commit '{made.sha[:7]}' to branch '{self._manifests.branch}'")
        chosen = {policy: self._store.get(_POLICIES, policy, NAMESPACE)["status"]["latestRef"] for policy in POLICIES}
        status = {
            "lastAutomationRunTime": now,
            "lastPushCommit": made.sha,
            "lastPushTime": now,
            "observedGeneration": 1,
            "observedPolicies": chosen,
            "observedSourceRevision": f"{self._manifests.branch}@sha1:{made.sha}",
        }
        self._store.patch_status(_AUTOMATIONS, AUTOMATION, NAMESPACE, status)
        self._on_push(made)

    def _digest(self, tag: str) -> str:
        image = self._registry.find_image(f"{self._registry.host}/{IMAGE}:{tag}")
        assert image is not None, "the pipeline has pushed it"
        return image.index.digest

    def _create(self, resource: str, name: str, spec: Object) -> None:
        self._store.create(resource, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})

    def _set(self, resource: str, name: str, message: str) -> None:
        obj = self._store.get(resource, name, NAMESPACE)
        conditions = Conditions((obj.get("status") or {}).get("conditions"), generation=1)
        conditions.set("Ready", "True", _SUCCEEDED, message, at=self._clock.now())
        self._store.patch_status(resource, name, NAMESPACE, {"conditions": conditions.listed()})


def _version(tag: str) -> tuple[int, ...]:
    return tuple(int(part) for part in tag.split("."))
