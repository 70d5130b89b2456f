"""Charts and what they render to: very small ones, each a Deployment named after the release."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fluxtrail.model.revision import followed_sha, version_sha
from fluxtrail.simulator.building import HEALTH_ANNOTATION, clean_path

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A packaged chart, as an artifact of a HelmChart or OCIRepository holds it."""

    name: str
    version: str
    """As the release will say it: with `+<12 hex>` of a commit or digest where there is one."""
    app_version: str
    revision: str
    """Of the artifact."""
    digest: str
    source_sha: str | None = None
    """The commit it was packaged from."""
    oci_digest: str | None = None

    @property
    def followed_as(self) -> str:
        """The name of what its source holds: a commit, an artifact's digest, or, as Helm has it, its version."""
        name = self.source_sha or followed_sha(self.oci_digest) or version_sha(self.revision)
        assert name is not None
        return name


def chart_files(name: str, version: str) -> dict[str, str]:
    """Return a chart's files for a git repository."""
    head = f"apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: {version}\n"
    return {f"charts/{name}/Chart.yaml": head, f"charts/{name}/templates/deployment.yaml": "# one Deployment\n"}


def read_chart(files: Mapping[str, str], path: str, *, sha: str) -> Chart:
    """Package a chart from a tree, with `reconcileStrategy: Revision`: every commit makes a version of its own."""
    folder = clean_path(path)
    head = yaml.safe_load(files[posixpath.join(folder, "Chart.yaml")])
    content = "".join(text for name, text in sorted(files.items()) if name.startswith(f"{folder}/"))
    version = f"{head['version']}+{sha[:12]}"
    digest = digest_of({"content": content, "version": version})
    return Chart(str(head["name"]), version, str(head["appVersion"]), version, digest, source_sha=sha)


def published_chart(name: str, version: str) -> Chart:
    """Return a chart of a Helm repository: any version that is asked for is there."""
    return Chart(name, version, version, version, digest_of({"name": name, "version": version}))


def pushed_chart(name: str, tag: str, digest: str) -> Chart:
    """Return a chart of an OCI repository; the release tells its digest in the version."""
    version = f"{tag}+{digest.partition(':')[2][:12]}"
    return Chart(name, version, tag, f"{tag}@{digest}", digest, oci_digest=digest)


def render(chart: Chart, release: str, namespace: str, values: Mapping[str, Any]) -> list[Json]:
    """Return the objects of a release."""
    version = str(values.get("tag") or chart.app_version)
    image = f"registry.example/charts/{chart.name}:{version}"
    environment = [{"name": "LEVEL", "value": str(values.get("level", 1))}]
    container = {"name": release, "image": image, "env": environment}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": release,
                "namespace": namespace,
                "annotations": {HEALTH_ANNOTATION: str(values.get("health", "good"))},
            },
            "spec": {
                "replicas": int(values.get("replicas", 1)),
                "progressDeadlineSeconds": 6,
                "template": {"spec": {"containers": [container]}},
            },
        }
    ]


def config_digest(values: Mapping[str, Any]) -> str:
    return digest_of(values)


def digest_of(content: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
