"""All dashboards, and how they are written down: as JSON for Grafana, or as ConfigMaps for its sidecar."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from fluxtrail.model.errors import ConfigError
from fluxtrail.monitoring.cluster_stats import cluster_stats
from fluxtrail.monitoring.control_plane import control_plane
from fluxtrail.monitoring.deliveries import deliveries
from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.itself import itself

SIDECAR_LABEL = {"grafana_dashboard": "1"}
"""What the sidecar of Grafana's Helm chart looks for."""


class Dashboard(NamedTuple):
    name: str
    make: Callable[[], Json]

    @property
    def title(self) -> str:
        return str(self.make()["title"])

    @property
    def help_text(self) -> str:
        return str(self.make()["description"])


DASHBOARDS = (
    Dashboard("flux-cluster", cluster_stats),
    Dashboard("flux-control-plane", control_plane),
    Dashboard("deliveries", deliveries),
    Dashboard("fluxtrail", itself),
)


def get_dashboard(name: str) -> Dashboard:
    """Raises ConfigError where there is none of this name."""
    for found in DASHBOARDS:
        if found.name == name:
            return found
    known = ", ".join(one.name for one in DASHBOARDS)
    raise ConfigError(f"there is no dashboard {name!r}; choose from {known}", subject="NAME")


def dashboard_json(found: Dashboard) -> str:
    return json.dumps(found.make(), indent=2, ensure_ascii=False) + "\n"


def dashboard_config_map(found: Dashboard, *, namespace: str | None = None) -> Json:
    """Return the ConfigMap; without a namespace `kubectl apply -n` says where it belongs."""
    metadata: Json = {"name": f"fluxtrail-dashboard-{found.name}", "labels": dict(SIDECAR_LABEL)}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {f"{found.name}.json": dashboard_json(found)},
    }
