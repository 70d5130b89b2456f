from __future__ import annotations

import os

import pytest

from fluxtrail.runtime.settings import REPLACED_NAMES

FOREIGN = (*REPLACED_NAMES, "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
OURS = ("FLUXTRAIL_", "GITHUB_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine that it runs on."""
    for name in [*os.environ]:
        if name in FOREIGN or (name.startswith(OURS) and not name.startswith("FLUXTRAIL_TEST_")):
            monkeypatch.delenv(name)
