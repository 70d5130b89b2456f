"""What is delivered beside the code, as data: manifests, the Dockerfile, the local stack."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OLDEST_KUSTOMIZE = 5
"""What `kubectl kustomize` must bring for components and labels; kubectl 1.27 and later does."""

Document = dict[str, Any]


def load(path: Path) -> list[Document]:
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item is not None]


def manifests(folder: Path = DEPLOY) -> Iterator[Document]:
    """Every object below a folder as it is written, without kustomize's own files, settings and partial patches."""
    for path in sorted(folder.rglob("*.yaml")):
        if path.name not in ("kustomization.yaml", "fluxtrail.yaml", "environment.yaml") and path.parent.name != "api":
            yield from load(path)


def find(items: list[Document], kind: str, name: str = "fluxtrail") -> Document:
    found = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} {kind}/{name}"
    return found[0]


@cache
def _kustomize_version() -> int:
    """The major version of kustomize in kubectl; 0 without kubectl."""
    if shutil.which("kubectl") is None:
        return 0
    told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
    numbers = [line.rpartition("v")[2] for line in told.splitlines() if line.startswith("Kustomize Version")]
    return int(numbers[0].partition(".")[0]) if numbers else 0


def render(folder: Path) -> list[Document]:
    """What `kubectl kustomize` makes of a folder. Skips the test where there is no kubectl that can."""
    if _kustomize_version() < OLDEST_KUSTOMIZE:
        pytest.skip("no kubectl of 1.27 or later, which renders components")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [item for item in yaml.safe_load_all(done.stdout) if item is not None]
