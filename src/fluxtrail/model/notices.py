"""What outside systems tell us by hooks: Flux, Argo CD, CDEvents, forges; projected and redacted.

A notice is a hint: it makes us look. Only one that was signed with a sender's secret can be evidence, and that only of
a cluster that nobody watches. Shapes: Flux's notification-controller, gitops-connector's two bodies, CDEvents 0.5,
GitHub's webhooks `push`, `pull_request` and `workflow_run`, and what GitLab and Azure DevOps have of their kind.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType

import msgspec

NoticeId = NewType("NoticeId", int)


class Hook(StrEnum):
    """Where something was posted."""

    FLUX = "flux"
    GITOPSPHASE = "gitopsphase"
    """gitops-connector's: Flux's or Argo CD's bodies."""
    CDEVENTS = "cdevents"
    ARGOCD = "argocd"
    GITHUB = "github"
    GITLAB = "gitlab"
    AZURE_DEVOPS = "azuredevops"


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="about"):
    """Base of what a notice says."""


class FluxNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="flux"):
    """An event of a Flux controller."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    api_version: str = ""
    severity: str = ""
    reason: str = ""
    message: str = ""
    """Redacted; at most 39,000 bytes, as Flux's own limit."""
    metadata: dict[str, str] = {}
    """As it came, prefixes and all; values redacted."""
    at: datetime | None = None
    """`timestamp`; whole seconds."""
    controller: str = ""


class ArgoResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: str = ""
    """Sync status; empty where the resource has none."""
    health: str = ""


class ArgoNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="argocd"):
    """An application of Argo CD, by the template that gitops-connector's README gives."""

    commit: str
    phase: str = ""
    sync_status: str = ""
    health: str = ""
    message: str = ""
    resources: tuple[ArgoResource, ...] = ()


class EventNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="cdevents"):
    """A CDEvent, as far as we use it."""

    type: str
    """`dev.cdevents.change.merged.0.3.0`."""
    id: str
    source: str = ""
    subject: str = ""
    chain: str = ""
    """`context.chainId`."""
    at: datetime | None = None
    repository: str = ""
    """A URL, where the subject names one."""
    sha: str = ""
    pipeline: str = ""
    """`pipelineName`, of a pipeline run."""
    outcome: str = ""
    """`success`, `failure`, `error`, `cancel`, of what is finished."""
    url: str = ""
    """A page of it; http(s)."""
    artifact: str = ""
    """A package URL of what was built: `pkg:oci/shop@sha256%3A…`."""


class PushNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="push"):
    repository: str
    """Its clone URL, without userinfo."""
    ref: str
    """`refs/heads/main`."""
    before: str = ""
    after: str = ""
    is_forced: bool = False


class PullRequestNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="pull_request"):
    repository: str
    number: int
    action: str
    base: str = ""
    """The branch that it goes into."""
    merge_sha: str = ""
    merged_at: datetime | None = None


class RunNotice(Notice, frozen=True, kw_only=True, omit_defaults=True, tag="workflow_run"):
    """A run of a pipeline began, went on or ended: which one, we ask."""

    repository: str
    """Its clone URL, without userinfo."""
    is_part: bool = False
    """`repository` is the beginning of it alone: the address of a project, or of an organisation."""
    action: str = ""
    """`requested`, `in_progress`, `completed`, or the state of the run, in the words of its system."""
    sha: str = ""


AnyNotice = FluxNotice | ArgoNotice | EventNotice | PushNotice | PullRequestNotice | RunNotice


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as it was taken in."""

    hook: Hook
    sender: str = ""
    """The sender whose secret signed it; empty where nobody's did."""
    received_at: datetime
    key: str = ""
    """The sender's own id of it (GitHub's delivery, a CloudEvent's id), or empty; the same again changes nothing."""
    said: AnyNotice

    @property
    def is_signed(self) -> bool:
        return bool(self.sender)


class KeptNotice(NewNotice, frozen=True, kw_only=True):
    """A notice that is in the ledger, and not dealt with."""

    id: NoticeId
