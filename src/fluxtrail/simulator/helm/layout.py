"""The world's HelmReleases: which there are, and their manifests as people keep them in the manifests repository."""

from __future__ import annotations

from fluxtrail.simulator.helm.charts import chart_files

CLUSTERS = ("prod-eu", "staging")
"""Where there are any."""
NAMESPACE = "platform"
KUSTOMIZATION = "releases"
GIT_CHART = "catalogue"
"""The release whose chart lies in the manifests repository."""
PUSHED_CHART = "charts/mailer"
"""In the registry."""
PUSHED_VERSION = "1.0.0"
RELEASES = (GIT_CHART, "search-index", "mailer")
"""By a chart in git, of a Helm repository, of an OCI repository."""

_HEAD = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: {name}
  namespace: platform
spec:
  interval: 5m
  timeout: 30s
  upgrade:
    remediation:
      retries: 0
      remediateLastFailure: true
  values:
    level: {level}
    replicas: {replicas}
    health: {health}
"""
_CHARTS = {
    GIT_CHART: """\
  chart:
    spec:
      chart: ./charts/catalogue
      reconcileStrategy: Revision
      sourceRef:
        kind: GitRepository
        name: manifests
        namespace: flux-system
""",
    "search-index": """\
  chart:
    spec:
      chart: search
      version: 2.{level}.0
      sourceRef:
        kind: HelmRepository
        name: charts
""",
    "mailer": """\
  chartRef:
    kind: OCIRepository
    name: mailer-chart
""",
}
_SOURCES = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: charts
  namespace: platform
spec:
  interval: 5m
  url: https://charts.example/stable
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: mailer-chart
  namespace: platform
spec:
  interval: 5m
  url: oci://{host}/{chart}
  insecure: true
  ref:
    tag: 1.0.0
"""


def release_file(name: str, level: int, *, health: str = "good") -> str:
    return _HEAD.format(name=name, level=level, replicas=1 + level % 2, health=health) + _CHARTS[name].format(
        level=level
    )


def release_path(cluster: str, name: str) -> str:
    return f"clusters/{cluster}/{KUSTOMIZATION}/{name}.yaml"


def first_releases(host: str) -> dict[str, str]:
    """Return the first files: sources and releases of each cluster, and the chart in git.

    Args:
        host: of the registry with the chart that is pushed.
    """
    tree = chart_files(GIT_CHART, "0.1.0")
    for cluster in CLUSTERS:
        tree[f"clusters/{cluster}/{KUSTOMIZATION}/sources.yaml"] = _SOURCES.format(host=host, chart=PUSHED_CHART)
        tree |= {release_path(cluster, name): release_file(name, 1) for name in RELEASES}
    return tree
