"""What the exporter's build makes of a source tree: plain manifests for every cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.layout import APPLICATIONS, FOLDERS, delivers

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {app}
  namespace: shop
  annotations:
    {annotation}: "{health}"
spec:
  replicas: {replicas}
  progressDeadlineSeconds: 6
  template:
    spec:
      containers:
      - name: {app}
        image: {image}
        env:
        - name: LEVEL
          value: "{level}"
"""


def render(source: Mapping[str, str]) -> dict[str, str]:
    """Return manifest path -> text for all that a source tree delivers."""
    rendered = {}
    for app, group in APPLICATIONS.items():
        values = _load(source.get(f"apps/{app}/values.yaml"))
        for folder in FOLDERS:
            own = _load(source.get(f"apps/{app}/clusters/{folder}.yaml"))
            if delivers(app, folder) and values and own:
                rendered[f"clusters/{folder}/{group}/{app}.yaml"] = _manifest(app, values, own)
    return rendered


def _manifest(app: str, values: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    health = next((h for h in (values.get("health"), own.get("health")) if h != "good"), "good")
    return _MANIFEST.format(
        app=app,
        annotation=HEALTH_ANNOTATION,
        health=health,
        replicas=own["replicas"],
        level=own["level"],
        image=f"registry.example/{app}:1.{values['version']}.0",
    )


def _load(text: str | None) -> dict[str, Any]:
    loaded = yaml.load(text or "", Loader=_Loader)  # noqa: S506 - the safe loader, in C where it is built
    return loaded if isinstance(loaded, dict) else {}
