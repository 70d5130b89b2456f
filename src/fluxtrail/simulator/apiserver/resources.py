"""What a server serves: resources by declaration, the built-in ones, and Flux's kinds with their served versions."""

from typing import Any

import msgspec

READ_VERBS = ("get", "list", "watch")
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class ResourceDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object, how it is addressed and which of an API server's habits apply to it."""

    group: str
    versions: tuple[str, ...]
    """Served versions, the preferred one first. All share one storage."""
    kind: str
    plural: str
    namespaced: bool = True
    status_subresource: bool = True
    custom: bool = True
    """A custom resource: its lists put `metadata` after `items`, its updates need a resourceVersion."""
    has_generation: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    """Fields that a field selector may name, beside an object's name and namespace."""
    spec_defaults: dict[str, Any] | None = None
    """Top-level fields of `spec` filled in where absent."""
    status_default: dict[str, Any] | None = None
    """The status of an object that has none yet."""

    @property
    def id(self) -> tuple[str, str]:
        return (self.group, self.plural)

    @property
    def qualified(self) -> str:
        """`plural.group`, or the bare plural of the core group: how messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version


def _core(kind: str, plural: str, *short: str, **habits: Any) -> ResourceDefinition:
    return ResourceDefinition(
        group="", versions=("v1",), kind=kind, plural=plural, short_names=short, custom=False, **habits
    )


def _workload(group: str, kind: str, plural: str, *short: str) -> ResourceDefinition:
    return ResourceDefinition(
        group=group, versions=("v1",), kind=kind, plural=plural, short_names=short, custom=False, categories=("all",)
    )


NAMESPACES = _core("Namespace", "namespaces", "ns", namespaced=False, has_generation=False)
CUSTOM_RESOURCE_DEFINITIONS = ResourceDefinition(
    group="apiextensions.k8s.io",
    versions=("v1",),
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    custom=False,
    short_names=("crd", "crds"),
)

BUILTIN_RESOURCES: tuple[ResourceDefinition, ...] = (
    NAMESPACES,
    _core("Node", "nodes", "no", namespaced=False, has_generation=False),
    _core("ConfigMap", "configmaps", "cm", status_subresource=False, has_generation=False),
    _core("Secret", "secrets", status_subresource=False, has_generation=False),
    _core("Pod", "pods", "po", categories=("all",), status_default={"phase": "Pending", "qosClass": "BestEffort"}),
    _core(
        "Event",
        "events",
        "ev",
        status_subresource=False,
        has_generation=False,
        selectable_fields=("involvedObject.uid", "involvedObject.name", "involvedObject.kind", "reason", "type"),
    ),
    _workload("apps", "Deployment", "deployments", "deploy"),
    _workload("apps", "ReplicaSet", "replicasets", "rs"),
    _workload("apps", "StatefulSet", "statefulsets", "sts"),
    _workload("apps", "DaemonSet", "daemonsets", "ds"),
    _workload("batch", "Job", "jobs"),
    _workload("batch", "CronJob", "cronjobs", "cj"),
    _core("Service", "services", "svc", has_generation=False),
    _core("ServiceAccount", "serviceaccounts", "sa", status_subresource=False, has_generation=False),
    _core("ResourceQuota", "resourcequotas", "quota", has_generation=False),
    *(
        ResourceDefinition(
            group="rbac.authorization.k8s.io",
            versions=("v1",),
            kind=kind,
            plural=f"{kind.lower()}s",
            namespaced=not kind.startswith("Cluster"),
            custom=False,
            status_subresource=False,
            has_generation=False,
        )
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    ),
    ResourceDefinition(
        group="networking.k8s.io",
        versions=("v1",),
        kind="NetworkPolicy",
        plural="networkpolicies",
        custom=False,
        status_subresource=False,
        short_names=("netpol",),
    ),
    ResourceDefinition(
        group="coordination.k8s.io",
        versions=("v1",),
        kind="Lease",
        plural="leases",
        custom=False,
        status_subresource=False,
        has_generation=False,
    ),
    CUSTOM_RESOURCE_DEFINITIONS,
)

ARGO_ROLLOUTS = ResourceDefinition(
    group="argoproj.io", versions=("v1alpha1",), kind="Rollout", plural="rollouts", short_names=("ro",)
)
"""A workload kind that is not Kubernetes' own: it makes ReplicaSets, as a Deployment does."""

_NOT_YET_OBSERVED = {"observedGeneration": -1}


def _flux(group: str, version: str, kind: str, plural: str, *short: str, **habits: Any) -> ResourceDefinition:
    family = {"source": "fluxcd-sources", "image": "fluxcd-images", "notification": "fluxcd-notifications"}
    return ResourceDefinition(
        group=f"{group}.toolkit.fluxcd.io",
        versions=(version,),
        kind=kind,
        plural=plural,
        short_names=short,
        categories=("all", "fluxcd", family.get(group, "fluxcd-appliers")),
        status_default=None if habits.pop("unobserved", False) else _NOT_YET_OBSERVED,
        **habits,
    )


FLUX_RESOURCES: tuple[ResourceDefinition, ...] = (
    _flux("source", "v1", "GitRepository", "gitrepositories", "gitrepo", spec_defaults={"timeout": "60s"}),
    _flux(
        "source",
        "v1",
        "OCIRepository",
        "ocirepositories",
        "ocirepo",
        spec_defaults={"provider": "generic", "timeout": "60s"},
    ),
    _flux("source", "v1", "Bucket", "buckets", spec_defaults={"provider": "generic", "timeout": "60s"}),
    _flux("source", "v1", "HelmRepository", "helmrepositories", "helmrepo", spec_defaults={"provider": "generic"}),
    _flux(
        "source",
        "v1",
        "HelmChart",
        "helmcharts",
        "hc",
        spec_defaults={"reconcileStrategy": "ChartVersion", "version": "*"},
    ),
    _flux("source", "v1", "ExternalArtifact", "externalartifacts", "ea", unobserved=True),
    _flux("kustomize", "v1", "Kustomization", "kustomizations", "ks", spec_defaults={"force": False}),
    _flux("helm", "v2", "HelmRelease", "helmreleases", "hr"),
    _flux(
        "image",
        "v1",
        "ImageRepository",
        "imagerepositories",
        "imgrepo",
        "imagerepo",
        spec_defaults={"exclusionList": ["^.*\\.sig$"], "provider": "generic"},
    ),
    _flux(
        "image",
        "v1",
        "ImagePolicy",
        "imagepolicies",
        "imgpol",
        "imagepol",
        spec_defaults={"digestReflectionPolicy": "Never"},
    ),
    _flux(
        "image",
        "v1",
        "ImageUpdateAutomation",
        "imageupdateautomations",
        "iua",
        "imgupd",
        "imgauto",
        spec_defaults={"update": {"strategy": "Setters"}},
    ),
    _flux(
        "notification",
        "v1beta3",
        "Alert",
        "alerts",
        unobserved=True,
        status_subresource=False,
        spec_defaults={"eventSeverity": "info"},
    ),
    _flux("notification", "v1beta3", "Provider", "providers", unobserved=True, status_subresource=False),
    _flux("notification", "v1", "Receiver", "receivers", spec_defaults={"interval": "10m"}),
)
