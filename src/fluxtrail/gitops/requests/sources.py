"""What an object takes its manifests or chart from: asked first, by `reconcile --with-source`."""

from __future__ import annotations

from fluxtrail.gitops.status.objects import Reconciled
from fluxtrail.model.observation import ObjectKey


def sources_of(one: Reconciled, *, oci_repositories: frozenset[ObjectKey] = frozenset()) -> list[ObjectKey]:
    """Return the sources to ask before an object, in order: a HelmRelease's repository, then its HelmChart.

    Args:
        oci_repositories: HelmRepositories that nothing reconciles.
    """
    found = [one.source] if one.source is not None and one.source.kind != "ExternalArtifact" else []
    if one.chart is not None and one.chart not in found:
        found.append(one.chart)
    return [source for source in found if source not in oci_repositories]
