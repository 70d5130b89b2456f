"""Which cluster is meant: a context, the pod's own, or the kubeconfig's current one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.endpoint import BearerTokenFile
from fluxtrail.clusters.incluster import in_cluster_endpoint, is_in_cluster, own_namespace
from fluxtrail.clusters.proxies import proxy_from_environment
from fluxtrail.model.errors import ConfigError

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
KUBECONFIG = """
contexts: [{name: east, context: {cluster: c}}, {name: west, context: {cluster: c}}]
clusters: [{name: c, cluster: {server: "https://host"}}]
current-context: east
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("token", "abc\n"), ("ca.crt", "PEM"), ("namespace", "flux-system\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "config").write_text(KUBECONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("context", "environ", "name"),
    [
        ("west", POD, "west"),
        ("west", {}, "west"),
        (None, POD, "in-cluster"),
        ("", POD, "in-cluster"),
        (None, {}, "east"),
        (None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "east"),
    ],
)
def test_context_goes_before_the_pod_and_the_pod_before_the_current_context(
    folder: Path, context: str | None, environ: dict[str, str], name: str
) -> None:
    environ = {"KUBECONFIG": str(folder / "config")} | environ
    assert open_connection(context, environ, service_account_folder=folder).name == name


def test_pod_finds_its_service_account(folder: Path) -> None:
    endpoint = in_cluster_endpoint(POD, folder=folder)
    assert endpoint.server == "https://10.0.0.1:443"
    assert endpoint.namespace == "flux-system"
    assert isinstance(endpoint.login, BearerTokenFile)
    assert endpoint.authority is not None
    assert endpoint.authority.load() == b"PEM"
    assert (
        in_cluster_endpoint(POD | {"KUBERNETES_SERVICE_HOST": "fd00::1"}, folder=folder).server
        == "https://[fd00::1]:443"
    )


def test_outside_of_a_pod_says_so(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ConfigError, match="does not run in a pod"):
        in_cluster_endpoint({}, folder=folder)
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        in_cluster_endpoint(POD, folder=empty)
    assert not is_in_cluster(POD, folder=empty)
    assert own_namespace(folder=empty) is None


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        ("https://host", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://host", {"https_proxy": "p:1", "HTTPS_PROXY": "q:1"}, "http://p:1"),
        ("https://host", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://host", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https://127.0.0.1", {"HTTPS_PROXY": "p"}, None),
        ("https://localhost", {"HTTPS_PROXY": "p"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "p", "NO_PROXY": "x, 10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": "p", "NO_PROXY": "x, 10.0.0.0/8"}, "http://p"),
        ("https://a.host", {"HTTPS_PROXY": "p", "NO_PROXY": ".host"}, None),
        ("https://host", {"HTTPS_PROXY": "p", "NO_PROXY": ".host"}, "http://p"),
        ("https://host", {"HTTPS_PROXY": "p", "NO_PROXY": "HOST"}, None),
        ("https://a.host:1", {"HTTPS_PROXY": "p", "NO_PROXY": "host:2"}, "http://p"),
        ("https://a.host:1", {"HTTPS_PROXY": "p", "no_proxy": "host:1"}, None),
        ("https://host", {"HTTPS_PROXY": "p", "NO_PROXY": "*"}, None),
        ("https://host", {}, None),
    ],
)
def test_proxy_variables_are_obeyed(server: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_from_environment(server, environ) == proxy
