"""What is built into images in this world, and how the manifests repository names them."""

from __future__ import annotations

APPLICATION = "assistant"
APPLICATION_REPOSITORY = "acme/assistant"
IMAGE = "acme/assistant"
PRIVATE_IMAGE = "private/vault"
"""Of a registry that wants a login: nobody knows what it was built from."""
FIRST_VERSION = "1.0.0"
CLUSTERS = ("prod-eu", "prod-us", "staging")
AUTOMATION = "images"
POLICIES = {"assistant": False, "assistant-pinned": True}
"""Image policy -> whether it writes digests too."""
PINNED = frozenset({"staging"})
"""Clusters whose manifests name the image's digest."""

_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: shop
spec:
  replicas: 2
  progressDeadlineSeconds: 6
  template:
    spec:
      containers:
      - name: {name}
        image: {image}{marker}
"""
_MARKER = ' # {{"$imagepolicy": "flux-system:{policy}"}}'


def image_path(cluster: str) -> str:
    return f"clusters/{cluster}/apps/{APPLICATION}.yaml"


def policy_of(cluster: str) -> str:
    return "assistant-pinned" if cluster in PINNED else "assistant"


def image_manifest(cluster: str, host: str, tag: str, digest: str) -> str:
    """Return the Deployment of the application, with the marker that automation looks for."""
    policy = policy_of(cluster)
    reference = f"{host}/{IMAGE}:{tag}" + (f"@{digest}" if POLICIES[policy] else "")
    return _MANIFEST.format(name=APPLICATION, image=reference, marker=_MARKER.format(policy=policy))


def vault_manifest(host: str) -> str:
    return _MANIFEST.format(name="vault", image=f"{host}/{PRIVATE_IMAGE}:{FIRST_VERSION}", marker="")


def first_application() -> dict[str, str]:
    return {"README.md": "# Assistant\n", "main.go": application_file(0)}


def application_file(number: int) -> str:
    return f"package main\n\n// Answer {number}.\nfunc main() {{}}\n"
