"""A place where gitops-connector stood: its variables, its forges with real repositories behind them, its notifiers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web
from tests.remotes.worlds import GitServer
from tests.runtime.worlds import (
    FREE,
    NAMESPACE,
    Cluster,
    Running,
    ago,
    make_environ,
    push,
    revision,
    running,
    until,
)

from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.forges.azure_tasks import AzurePullRequest, Plan
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.statuses import Conditions

Side = Literal["GITHUB", "AZDO"]
TOKENS: dict[Side, str] = {
    "GITHUB": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "AZDO": "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef",
}
SYSTEMS: dict[Side, str] = {"GITHUB": "github", "AZDO": "azure_devops"}
SECRET = "a secret of a sender, long enough"
PAGE = "https://gitops.example.com/ui?x={{y}}"
PULLS = "acme/shop/deployments"
SENDERS: list[dict[str, Any]] = [{"name": "flux", "secret": SECRET}]


@dataclass(kw_only=True)
class Place:
    """Two forges at 127.0.0.1 (GitHub) and localhost (Azure DevOps), each of which serves its repositories by git."""

    folder: Path
    forges: Forges
    manifests: Side
    """Where the manifests repository is."""
    repository: Repository
    clusters: list[Cluster]
    paths: Mapping[str, str]
    """What of the repository a cluster's Kustomization applies, by the cluster's name; all of it by default."""
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> Cluster:
        return self.clusters[0]

    @property
    def url(self) -> str:
        """The manifests repository, as Flux has it."""
        return f"{_hosts(self.forges)[self.manifests]}/{_PATHS[self.manifests]}"

    @property
    def pulls(self) -> str:
        """Where pull requests with tasks are."""
        return PULLS

    @property
    def subscribers(self) -> Path:
        return self.folder / "subscribers"

    def subscribe(self, *names: str, text: str = "{url}\n") -> None:
        """Put a file for each into the folder, as a mounted ConfigMap has them."""
        self.subscribers.mkdir(exist_ok=True)
        for name in names:
            (self.subscribers / name).write_bytes(text.format(url=f"{self.forges.url}/webhooks/{name}").encode())

    def config(self, **more: Any) -> Path:
        """Write what a chart would: where things are. Nothing of it is about statuses, unless `more` is."""
        kubeconfig = self.folder / "kubeconfig"
        write_kubeconfig(kubeconfig, [cluster.server for cluster in self.clusters])
        given: dict[str, Any] = {
            "kubeconfig": str(kubeconfig),
            "kube_contexts": [cluster.name for cluster in self.clusters],
            "ledger": {"path": str(self.folder / "ledger" / "fluxtrail.sqlite")},
            "git": {"poll_seconds": 0.3},
            "allow": ["http://127.0.0.1/*", "http://localhost/*"],
            "gitops_connector": {"subscribers": str(self.subscribers)},
            **{name: {"listen": FREE} for name in ("api", "metrics", "health", "hooks")},
        }
        for name, value in more.items():
            given[name] = {**given.get(name, {}), **value} if isinstance(value, dict) else value
        path = self.folder / "fluxtrail.yaml"
        path.write_text(json.dumps(given), encoding="utf-8")
        return path

    def settings(self, **more: Any) -> Settings:
        """What the variables come to."""
        return load_settings(path=self.config(**more), flags={}, environ=self.environ)

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[Running]:
        """Run the service until it follows the manifests' branch and what is applied of it."""
        async with running(self.settings(**more), make_environ(self.folder, **self.environ)) as here:
            await here.until_ready()

            async def is_read() -> bool:
                return bool((await here.ask("/commits"))["items"])

            await until(is_read, "the branch is read")
            yield here

    async def push(self, message: str, changes: dict[str, str | None] | None = None) -> Commit:
        """Merge a change of `apps/web.yaml`, or others."""
        count = len(self.repository.commits)
        return await push(self.repository, changes or {"apps/web.yaml": f"replicas: {count}\n"}, message)

    def deliver(self, commit: Commit, *clusters: Cluster) -> None:
        """Let Flux apply a commit, everywhere by default."""
        for cluster in clusters or self.clusters:
            cluster.fetch(commit, url=self.url)
            cluster.apply(commit, path=self.paths.get(cluster.name, "./"))

    def say(
        self,
        commit: Commit,
        *,
        ready: str,
        reason: str,
        cluster: Cluster | None = None,
        name: str = "apps",
        **more: Any,
    ) -> None:
        """Let Flux fetch a commit, and a Kustomization say what else came of it."""
        cluster = cluster or self.cluster
        cluster.fetch(commit, url=self.url)
        say(cluster, commit, ready=ready, reason=reason, name=name, **more)

    def pass_by(self, commit: Commit, cluster: Cluster) -> None:
        """Let Flux apply a commit that changes nothing on a cluster."""
        text = revision(commit)
        self.say(commit, cluster=cluster, ready="True", reason="ReconciliationSucceeded", lastAppliedRevision=text)

    def told(self, commit: Commit) -> dict[str, str]:
        """What stands on a commit of the manifests, by context; of Azure DevOps with the genre before it."""
        found = self.forges.final_statuses(SYSTEMS[self.manifests])
        return {key[3]: status.last.state for key, status in found.items() if key[2] == commit.sha}

    def steps(self, commit: Commit, context: str) -> list[str]:
        """The states that a context of a commit went through."""
        found = self.forges.final_statuses(SYSTEMS[self.manifests])
        return next(status.steps for key, status in found.items() if key[2:] == (commit.sha, context))

    def dispatches(self, commit: Commit) -> list[dict[str, Any]]:
        """The payloads that pipelines got for a commit."""
        writes = [item for item in self.forges.recorder.writes if item.call == "dispatch"]
        assert all((item.repository, item.context) == ("acme/shop", "sync-success") for item in writes)
        payloads = [json.loads(item.description) for item in writes]
        return [payload for payload in payloads if payload["manifests_sha"] == commit.sha]

    def wait(self, number: int) -> AzurePullRequest:
        """Open a pull request whose pipeline waits."""
        pull = self.forges.azure_tasks.open_pull_request(PULLS, number)
        plan = Plan(id=f"plan{number}", task_id=f"task{number}", job_id="j")
        self.forges.azure_tasks.wait_for(pull, plan, server=f"{_hosts(self.forges)['AZDO']}/azure/acme/")
        return pull

    def ended(self) -> list[tuple[str, str]]:
        """(task, how it ended), in their order."""
        return [(item.context, item.state) for item in self.forges.recorder.writes if item.call == "task_event"]

    def records(self, subscriber: str, commit: Commit) -> list[dict[str, Any]]:
        """What a subscriber got of a commit."""
        bodies = [body for name, body, _ in self.forges.webhooks.bodies if name == subscriber]
        return [body for body in bodies if body["commit_id"] == commit.sha]

    def said(self, subscriber: str, commit: Commit) -> list[tuple[str, str, str]]:
        """The same as (name, state, message)."""
        fields = ("status_name", "state", "message")
        return [tuple(body[name] for name in fields) for body in self.records(subscriber, commit)]


_FOLDERS = ("apps", "infra", "dev", "prod")
_PATHS: dict[Side, str] = {"GITHUB": "acme/manifests", "AZDO": "azure/acme/shop/_git/manifests"}


def _hosts(forges: Forges) -> dict[Side, str]:
    return {"GITHUB": forges.url, "AZDO": forges.url.replace("127.0.0.1", "localhost")}


def _variables(forges: Forges, manifests: Side, pipelines: Side, operator: str) -> dict[str, str]:
    """Return gitops-connector's own; two forges have a token each, one has the only one."""
    hosts = _hosts(forges)
    found = {
        "GITOPS_OPERATOR_TYPE": operator,
        "GIT_REPOSITORY_TYPE": manifests,
        "CICD_ORCHESTRATOR_TYPE": pipelines,
        "GITOPS_APP_URL": PAGE,
    }
    sides = {manifests, pipelines}
    found |= {"PAT": TOKENS[manifests]} if len(sides) == 1 else {f"{side}_PAT": TOKENS[side] for side in sides}
    if "GITHUB" in sides:
        found["GITHUB_ORG_URL"] = f"{hosts['GITHUB']}/repos/acme"
    if "AZDO" in sides:
        found["AZDO_ORG_URL"] = f"{hosts['AZDO']}/azure/acme/shop"
    found |= {"GITHUB_GITOPS_MANIFEST_REPO_NAME": "manifests"} if manifests == "GITHUB" else {}
    found |= {"AZDO_GITOPS_REPO_NAME": "manifests"} if manifests == "AZDO" else {}
    found |= {"GITHUB_GITOPS_REPO_NAME": "shop"} if pipelines == "GITHUB" else {"AZDO_PR_REPO_NAME": "deployments"}
    return found


@asynccontextmanager
async def open_place(
    folder: Path,
    manifests: Side = "GITHUB",
    pipelines: Side = "GITHUB",
    *,
    operator: str = "FLUX",
    paths: Mapping[str, str] | None = None,
) -> AsyncIterator[Place]:
    """Open it with a first commit that every cluster has applied.

    Args:
        paths: the clusters, and what each applies; `prod` with everything by default.
    """
    paths = paths or {"prod": "./"}
    forges = Forges(SimulatedClock())
    forges.trust(tokens={SYSTEMS[side]: token for side, token in TOKENS.items()}, webhooks={})
    git = GitServer(root=folder / "git", user="x-access-token", password=TOKENS[manifests])

    def serve(router: web.UrlDispatcher) -> None:
        router.add_route("*", f"/{_PATHS[manifests]}/{{rest:.*}}", git.handle)

    forges.mounts.append(serve)
    repository = Repository(git.root / _PATHS[manifests], name="acme/manifests")
    await repository.create()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(forges)
        made = [Cluster(name) for name in paths]
        for cluster in made:
            await stack.enter_async_context(cluster.server)
        environ = _variables(forges, manifests, pipelines, operator)
        place = Place(
            folder=folder,
            forges=forges,
            manifests=manifests,
            repository=repository,
            clusters=made,
            paths=paths,
            environ=environ,
        )
        place.deliver(await place.push("First", {f"{name}/web.yaml": "replicas: 0\n" for name in _FOLDERS}))
        yield place


# -- who notifies ---------------------------------------------------------------------------------------------------


def event(commit: Commit, reason: str, message: str = "", **changes: Any) -> dict[str, Any]:
    """What Flux posts: of the Kustomization `apps`, where nothing else is stated."""
    kind, name = changes.pop("kind", "Kustomization"), changes.pop("name", "apps")
    involved = {"kind": kind, "namespace": NAMESPACE, "name": name, "uid": "u1"}
    return {
        "involvedObject": involved,
        "severity": "error" if "Failed" in reason else "info",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reason": reason,
        "message": message or reason,
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": revision(commit)},
        "reportingController": "kustomize-controller",
        **changes,
    }


async def post(here: Running, body: Any, *, is_signed: bool = True) -> tuple[int, str]:
    """Post to `/gitopsphase`; returns the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), data, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature} if is_signed else {}
    url = f"{here.addresses['hooks']}/gitopsphase"
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


def say(cluster: Cluster, commit: Commit, *, ready: str, reason: str, name: str = "apps", **more: Any) -> None:
    """Let a Kustomization say what came of a commit."""
    cluster.target(name)
    found = cluster.store.get("kustomizations", name, NAMESPACE).get("status") or {}
    conditions = Conditions(found.get("conditions"), generation=1)
    conditions.set("Ready", ready, reason, f"{reason} of {revision(commit)}", at=ago(0))
    status = {"lastAttemptedRevision": revision(commit), "conditions": conditions.listed(), **more}
    cluster.store.patch_status("kustomizations", name, NAMESPACE, status)


def reconcile_again(cluster: Cluster, commit: Commit) -> None:
    """Let the Kustomization find everything as it was, an interval later."""
    found = cluster.store.get("kustomizations", "apps", NAMESPACE)["status"]
    history = [dict(item) for item in found["history"]]
    history[0] |= {
        "totalReconciliations": history[0].get("totalReconciliations", 1) + 1,
        "lastReconciled": wire_time(ago(0)),
    }
    text = revision(commit)
    say(cluster, commit, ready="True", reason="ReconciliationSucceeded", lastAppliedRevision=text, history=history)
